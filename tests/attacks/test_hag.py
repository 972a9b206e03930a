"""HAG's queries leave when no ranking could treat them worse."""

from __future__ import annotations

import numpy as np
import pytest
from toys import floor, make_toy, precision, small_model

from hashbench.attacks.hag import hag
from hashbench.models.data import Queries
from hashbench.models.pass_counter import Passes, counted
from hashbench.threat import Threat


def test_queries_near_the_floor_leave_and_lose_what_near_means_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    victim, queries = make_toy(small_model())
    lowest = floor(victim, queries)
    near = float(np.median(precision(victim, queries) - lowest))

    def attacked(margin: float) -> tuple[int, np.ndarray]:
        monkeypatch.setattr("hashbench.attacks.hag.NEAR_FLOOR", margin)
        passes = Passes()
        with counted(victim.model, passes):
            images = hag(victim, Threat(1.0), steps=40, restarts=1)(queries)
        return passes.backwards, precision(victim, Queries(images, queries.labels, queries.index))

    few, early = attacked(near)
    monkeypatch.setattr("hashbench.attacks.hag.reached", lambda codes, *_: codes[:, 0] > 2)
    many, late = attacked(-1.0)
    assert many == 40 * len(queries.index)
    assert few < many
    gone = early != late
    assert gone.any()
    assert (early[gone] <= lowest[gone] + near).all()
