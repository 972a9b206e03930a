"""Where and with what a result was made; nothing in here may enter a number."""

from __future__ import annotations

import functools
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

import hashbench
from hashbench.memory import peak_memory

CODE = ("hashbench", "attacks", "defenses", "pyproject.toml")  # a changed table or text makes no number another


def host_facts(device: torch.device, command: str) -> dict[str, Any]:
    """The machine, the versions and the command of this process."""
    peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else peak_memory()
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "threads": torch.get_num_threads(),
        "peak_memory_mb": round(peak / 2**20),
        "package_version": hashbench.__version__,
        **_git_state(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "platform": platform.platform(),
        "created_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command,
    }


@functools.cache
def _git_state() -> dict[str, Any]:
    """The commit that the package's code is at, where it runs from a checkout."""
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
