"""hashbench: the adversarial robustness of deep hashing, measured so that numbers can be compared."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hashbench.api.attack_board import AttackedBoard as AttackedBoard
    from hashbench.api.attack_board import attack_board as attack_board
    from hashbench.api.evaluate import evaluate as evaluate
    from hashbench.api.measure import MeasuredBoard as MeasuredBoard
    from hashbench.api.published import break_row as break_row
    from hashbench.api.published import load_model as load_model
    from hashbench.api.report import EvaluationReport as EvaluationReport
    from hashbench.api.run import run as run
    from hashbench.errors import HashbenchError as HashbenchError
    from hashbench.metrics.score import Retrieval as Retrieval
    from hashbench.metrics.score import retrieval as retrieval
    from hashbench.models.codes import center_code as center_code
    from hashbench.models.codes import encode as encode
    from hashbench.models.data import Gallery as Gallery
    from hashbench.models.data import ImageSet as ImageSet
    from hashbench.models.data import Queries as Queries
    from hashbench.models.data import RetrievalSplit as RetrievalSplit
    from hashbench.models.data import Victim as Victim
    from hashbench.models.data import split_of_tensors as split_of_tensors
    from hashbench.models.model import HashModel as HashModel
    from hashbench.models.model import binarize as binarize
    from hashbench.models.model import frozen as frozen
    from hashbench.models.transformed import Transformed as Transformed
    from hashbench.models.transformed import straight_through as straight_through
    from hashbench.registry.decorators import attack as attack
    from hashbench.registry.decorators import backbone as backbone
    from hashbench.registry.decorators import dataset as dataset
    from hashbench.registry.decorators import defense as defense
    from hashbench.registry.decorators import method as method
    from hashbench.registry.protocols import Craft as Craft
    from hashbench.registry.protocols import Method as Method
    from hashbench.registry.ranking_box import RankingBox as RankingBox
    from hashbench.threat import Threat as Threat
    from hashbench.training.loop import fit as fit
    from hashbench.training.recipe import Recipe as Recipe
    from hashbench.training.unlabelled import unlabelled_images as unlabelled_images

__version__: str

# Loaded on first use, so that `hashbench --help` answers without importing torch.
_HOMES = {
    "api.attack_board": ("AttackedBoard", "attack_board"),
    "api.evaluate": ("evaluate",),
    "api.published": ("break_row", "load_model"),
    "api.report": ("EvaluationReport",),
    "api.measure": ("MeasuredBoard",),
    "api.run": ("run",),
    "errors": ("HashbenchError",),
    "models.codes": ("center_code", "encode"),
    "models.data": ("Gallery", "ImageSet", "Queries", "RetrievalSplit", "Victim", "split_of_tensors"),
    "models.model": ("HashModel", "binarize", "frozen"),
    "models.transformed": ("Transformed", "straight_through"),
    "registry.decorators": ("attack", "backbone", "dataset", "defense", "method"),
    "registry.protocols": ("Craft", "Method"),
    "registry.ranking_box": ("RankingBox",),
    "metrics.score": ("Retrieval", "retrieval"),
    "threat": ("Threat",),
    "training.loop": ("fit",),
    "training.recipe": ("Recipe",),
    "training.unlabelled": ("unlabelled_images",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}
__all__ = ["__version__", *_HOME_OF]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return importlib.import_module("importlib.metadata").version("hashbench")
    if name not in _HOME_OF:
        raise AttributeError(f"module 'hashbench' has no attribute {name!r}")
    return getattr(importlib.import_module(f"hashbench.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME_OF])
