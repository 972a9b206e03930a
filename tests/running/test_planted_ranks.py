"""Each planted defense and each fake, attacked by the attack set, probed and ranked as `run` does it: no rank."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import planted
import pytest
import torch
from command import registries_restored
from torch import nn

import hashbench
from hashbench.boards.leaderboard import leaderboards
from hashbench.boards.probe_tables import flags_of, reports_of
from hashbench.boards.ranking import FLAGGED, RANKED, STANDARD, RankingRow, rank
from hashbench.evaluation import probe as probing
from hashbench.registry import entries
from hashbench.running import probes
from hashbench.running import runner as running
from hashbench.running.clean_room import inspection
from hashbench.running.request import Request, load_once
from hashbench.running.runner import run
from hashbench.running.store import Result, Store

pytestmark = pytest.mark.slow
FOLDER = Path(__file__).parents[1] / "fakes"
FAKES = {
    "look-up": "outputs_do_not_move",
    "memory": "stateful",
    "second-sight": "stateful",
    "nearest": "gradient_disagrees",
    "underflow:epochs=1,steps=1": "outputs_do_not_move",
}
PLANTED: dict[str, tuple[Callable[[nn.Module], nn.Module], str]] = {
    "train-mode": (planted.left_in_train_mode, "train_mode"),
    "noisy": (planted.noisy, "stochastic"),
    "dead": (planted.dead, "collapsed_codes"),
    "few-bits": (planted.few_bits, "high_tie_mass"),
    "quantised": (planted.quantised, "zero_gradient"),
    "detached": (planted.detached, "zero_gradient"),
    "steep": (planted.steep, "saturated"),
    "right-on-the-grid": (planted.right_on_the_grid, "more_steps_do_worse"),
    "right-nearby": (planted.right_nearby, "more_budget_does_worse"),
    "reversed": (planted.reversed_, "black_box_beats_white_box"),
    "brittle": (planted.Brittle, "noise_as_strong"),
}
HONEST = "cgat:epochs=6,steps=3"
Ranked = dict[str, tuple[RankingRow, list[str]]]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store of all runs here: what is trained is trained once."""
    return Store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module", autouse=True)
def _entries() -> Iterator[None]:
    """Probes of few queries, the data set of few queries, the fakes, and the planted defenses under their names."""
    with registries_restored(), pytest.MonkeyPatch.context() as patched:
        for module, name, small in (
            (probing, "QUERIES", 40), (probing, "STEPS", 10), (probing, "TRAIN", 200), (inspection, "MOST", 60),
            (probes, "BLACK_BOX", "square-hamming:steps=20"),
        ):  # fmt: skip
            patched.setattr(module, name, small)
        # Planted networks have no state; the fakes are coded again in processes of their own.
        patched.setattr(
            running, "needs_room", lambda cell: cell.defense.name in {name.partition(":")[0] for name in FAKES}
        )
        for path in plugins():
            entries.load_plugin(path)
        for name, (make, _) in PLANTED.items():
            plant(name, make)
        yield


def plugins() -> tuple[Path, ...]:
    names = ["few_digits", *(name.partition(":")[0].replace("-", "_") for name in FAKES)]
    return tuple(FOLDER / f"{name}.py" for name in names)


def plant(name: str, make: Callable[[nn.Module], nn.Module]) -> None:
    @hashbench.defense(name, trains=False)
    def wrapped(model: hashbench.HashModel, train: Any, method: Any, threat: hashbench.Threat) -> hashbench.HashModel:
        """Seems to withstand attacks."""
        return planted.planted(model, make)


def ranked(store: Store, defenses: Sequence[str], eps: str | None = None) -> Ranked:
    """The rows of a board under a twentieth of the attack set, which stands in for the whole, and their flags."""
    request = Request(
        dataset="few-digits",
        training="epochs=6",
        defenses=tuple(defenses),
        attacks=(f"{STANDARD}:share=0.05",),
        eps=eps,
    )
    cells = request.resolve().cells(load_once())
    results = [as_whole(result) for result in run(cells, store, torch.device("cpu"), probing=True, plugins=plugins())]
    (board,) = leaderboards(results)
    flags = flags_of(reports_of(board, store))
    return {row.defense: (row, flags.get(row.defense, [])) for row in rank(board, store.arrays, flags)}


def as_whole(result: Result) -> Result:
    """A cell under the name of the whole attack set, so that nothing but a flag keeps its row from a rank."""
    if not result.identity["attack"].startswith(STANDARD):
        return result
    return replace(result, identity={**result.identity, "attack": STANDARD})


@pytest.fixture(scope="module")
def board(store: Store) -> Ranked:
    return ranked(store, [*PLANTED, *FAKES, HONEST])


@pytest.mark.parametrize(("name", "flag"), [*((name, flag) for name, (_, flag) in PLANTED.items()), *FAKES.items()])
def test_what_only_seems_to_withstand_attacks_is_flagged_and_has_no_rank(name: str, flag: str, board: Ranked) -> None:
    row, flags = board[name]
    assert flag in flags, flags
    assert (row.rank, row.status) == (None, FLAGGED), (flags, row)


def test_an_honest_defense_beside_them_has_a_rank(board: Ranked) -> None:
    row, flags = board[HONEST]
    assert (row.rank, row.status, flags) == (1, RANKED, [])


def test_a_planted_defense_is_flagged_where_no_attack_could_break_it(store: Store) -> None:
    found = ranked(store, ["reversed"], "2/255")
    row, flags = found["reversed"]
    assert "unbounded_not_broken" in flags
    assert (row.rank, row.status) == (None, FLAGGED)
    honest, flags = found["none"]
    assert (honest.rank, flags) == (1, [])
