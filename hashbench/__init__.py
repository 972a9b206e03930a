"""hashbench: robustness of deep hashing, measured so that the numbers can be compared."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hashbench.data import Gallery as Gallery
    from hashbench.data import ImageSet as ImageSet
    from hashbench.data import Queries as Queries
    from hashbench.data import RetrievalSplit as RetrievalSplit
    from hashbench.data import Victim as Victim
    from hashbench.data import split_of_tensors as split_of_tensors
    from hashbench.errors import HashbenchError as HashbenchError
    from hashbench.model import HashModel as HashModel
    from hashbench.model import binarize as binarize
    from hashbench.protocols import Craft as Craft
    from hashbench.protocols import Method as Method
    from hashbench.registry import attack as attack
    from hashbench.registry import backbone as backbone
    from hashbench.registry import dataset as dataset
    from hashbench.registry import defense as defense
    from hashbench.registry import method as method
    from hashbench.scoring import Retrieval as Retrieval
    from hashbench.scoring import retrieval as retrieval
    from hashbench.threat import Threat as Threat

__version__: str

# Loaded on first use, so that `hashbench --help` answers without importing torch.
_HOMES = {
    "Gallery": "data", "ImageSet": "data", "Queries": "data", "RetrievalSplit": "data", "Victim": "data",
    "split_of_tensors": "data", "HashbenchError": "errors", "HashModel": "model", "binarize": "model",
    "Craft": "protocols", "Method": "protocols", "attack": "registry", "backbone": "registry",
    "dataset": "registry", "defense": "registry", "method": "registry", "Retrieval": "scoring",
    "retrieval": "scoring", "Threat": "threat",
}  # fmt: skip
__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return importlib.import_module("importlib.metadata").version("hashbench")
    if name not in _HOMES:
        raise AttributeError(f"module 'hashbench' has no attribute {name!r}")
    return getattr(importlib.import_module(f"hashbench.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
