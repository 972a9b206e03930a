"""A plugin that kills what loads it, as often as the file `deaths` says: a clean-room process, or its server."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from hashbench import HashModel, ImageSet, Threat, defense
from hashbench.registry.protocols import Method


@defense("fatal")
def fatal(model: HashModel, train: ImageSet, method: Method, threat: Threat, *, victim: str = "server") -> HashModel:
    """Changes nothing, and sees to it that the next process that loads this file dies."""
    Path("deaths").write_text(victim)
    return model


if Path("deaths").exists():
    whom = Path("deaths").read_text()
    Path("deaths").unlink()
    os.kill(os.getppid() if whom == "server" else os.getpid(), signal.SIGKILL)
