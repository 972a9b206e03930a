"""Where and with what a result was made; nothing in this module may affect a number."""

from __future__ import annotations

import functools
import hashlib
import platform
import resource
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

import hashbench

CODE = ("hashbench", "attacks", "defenses", "pyproject.toml")  # other changes can't affect a number


def host_facts(device: torch.device, command: str) -> dict[str, Any]:
    """The machine, the versions and the command of this process."""
    peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else peak_memory()
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "threads": torch.get_num_threads(),
        "peak_memory_mb": round(peak / 2**20),
        "package_version": hashbench.__version__,
        **_git_state(),
        "code_digest": package_digest(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "platform": platform.platform(),
        "created_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command,
    }


def peak_memory() -> int:
    """The peak memory of this process, in bytes.

    On Linux it is the kernel's own high-water mark, since the value from `getrusage` starts at the parent's.
    """
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        (mark,) = [line.split() for line in lines if line.startswith("VmHWM:")]
        return 1024 * int(mark[1])
    except (OSError, ValueError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


@functools.cache
def package_digest() -> str:
    """Sixteen hexadecimal digits that identify the text of all Python files in the package."""
    folder, found = Path(hashbench.__file__).parent, hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        found.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    for kind in ("attacks", "defenses"):  # symlinked in a checkout, and rglob doesn't follow links
        for path in sorted((folder / kind).glob("*.py")):
            found.update(f"{kind}/{path.name}".encode() + path.read_bytes())
    return found.hexdigest()[:16]


@functools.cache
def _git_state() -> dict[str, Any]:
    """The commit of the package's code, if it runs from a checkout."""
    folder = Path(hashbench.__file__).resolve().parents[1]
    if not (folder / ".git").exists():
        return {"code_commit": "", "code_dirty": ""}
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        changed = _git(folder, "status", "--porcelain", "--", *CODE)
        return {"code_commit": commit, "code_dirty": bool(changed)}
    except (OSError, subprocess.CalledProcessError):
        return {"code_commit": "", "code_dirty": ""}


def _git(folder: Path, *words: str) -> str:
    run = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, check=True)
    return run.stdout.strip()
