"""Data sets that torchvision downloads, stored in the user's cache."""

from __future__ import annotations

import os
from pathlib import Path

from hashbench.errors import MissingData
from hashbench.registry.downloads import check_download, may_download


def torchvision_folder(name: str, otherwise: str) -> Path:
    """The folder where torchvision stores a data set, downloaded if necessary.

    Raises:
        MissingData: it can't be downloaded, or must not be; the message suggests `otherwise` instead.
    """
    import torchvision

    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hashbench"
    try:
        getattr(torchvision.datasets, name)(cache, download=may_download())
    except (OSError, RuntimeError) as error:
        check_download(name, "fetch it with 'hashbench data' first")
        reason = " ".join(str(error).split())[:80]
        raise MissingData(
            f"{name} can't be downloaded ({reason}); {otherwise}, or give root= a folder that holds it"
        ) from None
    return cache
