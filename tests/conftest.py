"""Shapes are checked at run time in all tests but benchmarks, whose times the checks would be part of."""

from __future__ import annotations

import sys
import time

import shape_checks

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
    shape_checks.install(SHAPES)

import pytest  # noqa: E402
import torch  # noqa: E402
from bench_table import measuring, pytest_terminal_summary  # noqa: E402
from command import command, registries, undrawn  # noqa: E402
from toys import make_toy, small_model  # noqa: E402

from hashbench.models.data import Queries, Victim  # noqa: E402

__all__ = ["command", "measuring", "pytest_terminal_summary", "registries", "undrawn"]

torch.set_num_threads(1)  # faster on tensors this small


# Files of minutes begin first, so that no worker is left alone with one; fixtures of a file are made once, for
# which all of its tests go to one worker.
LONGEST_FIRST = (
    "test_pins.py",
    "test_every_entry.py",
    "test_clean_room.py",
    "test_cluster.py",
    "test_command_runs.py",
    "test_main.py",
    "test_rules.py",
    "test_board.py",
    "test_probe.py",
)
BEGAN = time.monotonic()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--budget", type=float, metavar="SECONDS", help="begin no test after so many seconds")
    parser.addoption("--redraw", action="store_true", help="write anew what test_drawn.py holds pictures against")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {name: place for place, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: places.get(item.path.name, len(places)))


def pytest_runtest_setup(item: pytest.Item) -> None:
    shape_checks.begin_test()
    budget = item.config.getoption("--budget")
    if budget is not None and time.monotonic() - BEGAN > budget:
        pytest.skip(f"the {budget:g} seconds of --budget are spent")


@pytest.fixture
def toy() -> tuple[Victim, Queries]:
    """A small victim and its queries."""
    return make_toy(small_model())
