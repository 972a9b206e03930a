#!/usr/bin/env python3
"""Write requirements-ci.lock: the exact packages that CI installs, each with the SHA-256 of its file.

pip chooses them for this interpreter and platform, without installing anything. Run it with `make lock`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "requirements-ci.lock"
HEAD = """\
# Written by `make lock`; what CI installs with `pip install --require-hashes`, on Linux, x86-64, CPython {python}.
"""


def locked(report: dict[str, Any]) -> str:
    """The lines of a lock, from the report of `pip install --dry-run`; hashbench itself is left out."""
    lines = []
    for package in report["install"]:
        name, version = package["metadata"]["name"], package["metadata"]["version"]
        if name != "hashbench":
            found = package["download_info"]["archive_info"]["hashes"]["sha256"]
            lines.append(f"{name.lower()}=={version} --hash=sha256:{found}\n")
    return "".join(sorted(lines))


def main() -> None:
    """Ask pip, and write the file."""
    python = ".".join(map(str, sys.version_info[:2]))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "report.json")
        subprocess.run(
            [
                sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--dry-run",
                "--ignore-installed", "--report", str(path), f"{ROOT}[dev]",
            ],
            check=True,
        )  # fmt: skip
        LOCK.write_text(HEAD.format(python=python) + locked(json.loads(path.read_text())))


if __name__ == "__main__":
    main()
