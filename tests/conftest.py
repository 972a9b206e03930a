"""Shapes are checked at run time in all tests."""

from __future__ import annotations

from jaxtyping import install_import_hook

# Before hashbench is imported. The command line is left out: it imports what it names only when asked.
SHAPES = [
    "clean",
    "autopgd",
    "chase",
    "codes",
    "data",
    "datasets",
    "evaluation",
    "gan",
    "leaderboard",
    "methods",
    "model",
    "moves",
    "normalise",
    "objectives",
    "perturb",
    "prototype",
    "runner",
    "sanity",
    "surrogate",
    "targets",
    "threat",
    "training",
    "transformed",
]
install_import_hook([f"hashbench.{name}" for name in SHAPES], "beartype.beartype")

import pytest  # noqa: E402
import torch  # noqa: E402
from toys import make_toy, small_model  # noqa: E402

from hashbench.data import Queries, Victim  # noqa: E402

torch.set_num_threads(1)  # faster on tensors this small


@pytest.fixture
def toy() -> tuple[Victim, Queries]:
    """A small victim and its queries."""
    return make_toy(small_model())
