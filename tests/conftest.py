"""Shapes are checked at run time in all tests but benchmarks, whose times the checks would be part of."""

from __future__ import annotations

import sys

from jaxtyping import install_import_hook

# Before hashbench is imported. The command line is left out: it imports what it names only when asked.
SHAPES = [
    "boards.leaderboard",
    "crafting",
    "datasets",
    "evaluation.judge",
    "evaluation.probe",
    "methods",
    "models.codes",
    "models.data",
    "models.layers",
    "models.model",
    "models.transformed",
    "running.runner",
    "running.victims",
    "threat",
    "training.loop",
    "training.surrogate",
    "training.undefended",
]
if "--benchmark-enable" not in sys.argv:
    install_import_hook([f"hashbench.{name}" for name in SHAPES], "beartype.beartype")

import pytest  # noqa: E402
import torch  # noqa: E402
from bench_table import measuring, pytest_terminal_summary  # noqa: E402
from command import command, registries  # noqa: E402
from toys import make_toy, small_model  # noqa: E402

from hashbench.models.data import Queries, Victim  # noqa: E402

__all__ = ["command", "measuring", "pytest_terminal_summary", "registries"]

torch.set_num_threads(1)  # faster on tensors this small


@pytest.fixture
def toy() -> tuple[Victim, Queries]:
    """A small victim and its queries."""
    return make_toy(small_model())
