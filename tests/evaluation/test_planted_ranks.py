"""Each planted defense, measured, probed and ranked as `hashbench run` does it: flagged, and without a rank."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import planted
import pytest
import torch

import hashbench
from hashbench.boards.leaderboard import leaderboards
from hashbench.boards.probe_tables import flags_of, reports_of
from hashbench.boards.ranking import DISQUALIFYING, FLAGGED, UNRANKED, rank
from hashbench.evaluation import probe as probing
from hashbench.registry import entries
from hashbench.running import runner as running
from hashbench.running.request import Request, load_once
from hashbench.running.runner import run
from hashbench.running.store import Store

pytestmark = pytest.mark.slow
PLANTED = {
    "train_mode": (planted.left_in_train_mode, None),
    "stochastic": (planted.noisy, None),
    "collapsed_codes": (planted.dead, None),
    "high_tie_mass": (planted.few_bits, None),
    "zero_gradient": (planted.quantised, None),
    "zero_gradient too": (planted.detached, None),
    "saturated": (planted.steep, None),
    "more_steps_do_worse": (planted.right_on_the_grid, None),
    "more_budget_does_worse": (planted.right_nearby, None),
    "black_box_beats_white_box": (planted.reversed_, None),
    "unbounded_not_broken": (planted.reversed_, "2/255"),
    "noise_as_strong": (planted.Brittle, None),
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store that all tests here share: the undefended model is trained once."""
    return Store(tmp_path_factory.mktemp("store"))


@pytest.fixture
def registered(request: pytest.FixtureRequest) -> Iterator[str]:
    """A planted defense under a name, for one test."""
    make: Any = PLANTED[request.param][0]

    @hashbench.defense("planted", trains=False)
    def plant(model: hashbench.HashModel, train: Any, method: Any, threat: hashbench.Threat) -> hashbench.HashModel:
        """Seems to withstand attacks."""
        return planted.planted(model, make)

    yield "planted"
    del entries.defenses._entries["planted"]


@pytest.mark.parametrize(("registered", "flag"), [(flag, flag) for flag in PLANTED], indirect=["registered"])
def test_a_planted_defense_is_flagged_and_has_no_rank(
    registered: str, flag: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, small in (("QUERIES", 40), ("STEPS", 10), ("TRAIN", 200)):
        monkeypatch.setattr(probing, name, small)
    # Planted networks have no state; the fakes of test_clean_room.py are coded again in processes of their own.
    monkeypatch.setattr(running, "needs_room", lambda cell: False)
    request = Request(training="epochs=6", defenses=(registered,), attacks=("noise",), eps=PLANTED[flag][1])
    cells = request.resolve().cells(load_once())
    fresh = Store(store.root.with_name(f"{store.root.name}-{flag.replace(' ', '-')}"))
    share_models(store, fresh)
    (board,) = leaderboards(list(run(cells, fresh, torch.device("cpu"), probing=True)))
    share_models(fresh, store)
    flags = flags_of(reports_of(board, fresh))
    assert flag.split()[0] in flags[registered], flags
    assert "none" not in flags
    (row,) = (row for row in rank(board, fresh.arrays, flags) if row.defense == registered)
    assert row.rank is None
    assert row.status == (FLAGGED if set(flags[registered]) & set(DISQUALIFYING) else UNRANKED)


def share_models(source: Store, target: Store) -> None:
    """Carry trained networks over; nothing that depends on which defense was planted."""
    for folder in (source.root / "models").iterdir():
        weights = source.model(folder.name)
        if weights is not None and target.model(folder.name) is None:
            target.save_model(folder.name, weights)
