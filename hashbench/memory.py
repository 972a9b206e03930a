"""How much memory this process has held."""

from __future__ import annotations

import resource
import sys
from pathlib import Path


def peak_memory() -> int:
    """The most memory that this process has held, in bytes.

    On Linux by the kernel's own mark, since the number that `getrusage` gives begins at what the parent held.
    """
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        (mark,) = [line.split() for line in lines if line.startswith("VmHWM:")]
        return 1024 * int(mark[1])
    except (OSError, ValueError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
