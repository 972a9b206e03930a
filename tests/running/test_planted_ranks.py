"""Each planted defense and each fake, attacked by the attack set, probed and ranked as `run --plugin` does it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from command import registries_restored

from hashbench.boards.leaderboard import leaderboards
from hashbench.boards.probe_tables import flags_of, reports_of
from hashbench.boards.ranking import BELOW_CHANCE, FLAGGED, INVALID, RANKED, RankingRow, rank
from hashbench.evaluation import probe as probing
from hashbench.registry import entries
from hashbench.running import probes
from hashbench.running.clean_room import inspection
from hashbench.running.request import Request, load_once
from hashbench.running.runner import run
from hashbench.running.store import Result, Store

pytestmark = pytest.mark.slow
FOLDER = Path(__file__).parents[1] / "fakes"
FAKES = ("few_digits", "planted_defenses", "look_up", "memory", "second_sight", "nearest", "underflow")
PLUGINS = tuple(FOLDER / f"{name}.py" for name in FAKES)
ATTACK_SET = "standard"
HONEST = "cgat:epochs=6,steps=3"
# The flags of which each raises one at least, and the status of its row.
SEEM_ROBUST = {
    "train-mode": ({"stateful"}, FLAGGED),
    "dead": ({"collapsed_codes"}, FLAGGED),
    "quantised": ({"zero_gradient"}, FLAGGED),
    "detached": ({"zero_gradient"}, INVALID),
    "steep": ({"saturated"}, FLAGGED),
    "right-on-the-grid": ({"more_steps_do_worse"}, FLAGGED),
    "right-nearby": ({"more_budget_does_worse"}, FLAGGED),
    "reversed": ({"black_box_beats_white_box"}, FLAGGED),
    "brittle": ({"noise_as_strong"}, BELOW_CHANCE),
    "look-up": ({"outputs_do_not_move"}, FLAGGED),
    "memory": ({"stateful", "outputs_do_not_move"}, FLAGGED),
    "second-sight": ({"stateful"}, FLAGGED),
    "nearest": ({"outputs_do_not_move", "gradient_disagrees"}, FLAGGED),
    "underflow:epochs=1,steps=1": ({"outputs_do_not_move"}, FLAGGED),
    "noisy": ({"stochastic"}, FLAGGED),
    "few-bits": ({"high_tie_mass"}, FLAGGED),
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store of all runs here: what is trained is trained once."""
    return Store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module", autouse=True)
def _entries() -> Iterator[None]:
    """Small probes and clean rooms, and all plugins."""
    with registries_restored(), pytest.MonkeyPatch.context() as patched:
        for module, name, small in (
            (probing, "QUERIES", 40), (probing, "TRAIN", 200), (inspection, "MOST", 60),
            (probes, "BLACK_BOX", "square-hamming:steps=20"),
        ):  # fmt: skip
            patched.setattr(module, name, small)
        for path in PLUGINS:
            entries.load_plugin(path)
        yield


def ranked(store: Store, *defenses: str, eps: str | None = None) -> dict[str, tuple[RankingRow, set[str]]]:
    """The rows of a board under a twentieth of the attack set, which stands in for the whole, and their flags."""
    attacks = (f"{ATTACK_SET}:share=0.05",)
    request = Request(dataset="few-digits", training="epochs=6", defenses=defenses, attacks=attacks, eps=eps)
    cells = request.resolve().cells(load_once())
    results = [as_whole(result) for result in run(cells, store, torch.device("cpu"), probing=True, plugins=PLUGINS)]
    (board,) = leaderboards(results)
    flags = flags_of(reports_of(board, store))
    return {row.defense: (row, set(flags.get(row.defense, []))) for row in rank(board, store.arrays, flags)}


def as_whole(result: Result) -> Result:
    """A cell under the name of the whole attack set, so that nothing but a flag keeps its row from a rank."""
    if not result.identity["attack"].startswith(ATTACK_SET):
        return result
    return replace(result, identity={**result.identity, "attack": ATTACK_SET})


@pytest.mark.parametrize("name", SEEM_ROBUST)
def test_what_only_seems_robust_is_flagged_and_has_no_rank_beside_an_honest_defense(name: str, store: Store) -> None:
    board = ranked(store, name, HONEST)
    wanted, status = SEEM_ROBUST[name]
    row, flags = board[name]
    assert wanted & flags, flags
    assert (row.rank, row.status) == (None, status), flags
    honest, flags = board[HONEST]
    assert (honest.rank, honest.status, flags) == (1, RANKED, set())


def test_reversed_gradients_are_flagged_where_no_attack_could_break_the_model(store: Store) -> None:
    board = ranked(store, "reversed", eps="2/255")
    row, flags = board["reversed"]
    assert "unbounded_not_broken" in flags
    assert (row.rank, row.status) == (None, FLAGGED)
    honest, flags = board["none"]
    assert (honest.rank, flags) == (1, set())
