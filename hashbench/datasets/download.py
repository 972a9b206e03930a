"""Data sets that torchvision downloads, kept in the user's cache."""

from __future__ import annotations

import os
from pathlib import Path

from hashbench.errors import MissingData


def torchvision_folder(name: str, otherwise: str) -> Path:
    """The folder where torchvision keeps a data set, downloaded if need be.

    Raises:
        MissingData: it can't be downloaded; the message gives `otherwise` as a way out.
    """
    import torchvision

    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hashbench"
    try:
        getattr(torchvision.datasets, name)(cache, download=True)
    except (OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:80]
        raise MissingData(
            f"{name} can't be downloaded ({reason}); {otherwise}, or give root= a folder that has it"
        ) from None
    return cache
