"""Ranks with a new attack are among all rows, those that it was not run on too."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from toy_results import result

from hashbench.api.attack_board import _not_attacked
from hashbench.boards.leaderboard import Leaderboard
from hashbench.boards.ranking import rank
from hashbench.registry.entries import attacks
from hashbench.registry.spec import Spec

CHOICE = attacks.choose(Spec("noise"))
APS = {"best": 0.9, "middle": 0.7, "none": 0.5}


def test_rows_that_were_not_attacked_keep_their_worst_case() -> None:
    whole = [
        result(defense, attack, ap if attack == "standard-2" else 1.0, seed)
        for defense, ap in APS.items()
        for attack in ("none", "standard-2")
        for seed in (0, 1)
    ]
    held = {r.key: np.full(20, r.numbers["map"]) + 0.01 * np.arange(20) for r in whole}
    one = next(r for r in whole if (r.identity["defense"], r.identity["seed"]) == ("middle", 0))
    new = replace(one, key="new", identity={**one.identity, "attack": CHOICE.label, "attack_params": CHOICE.visible})
    held["new"] = np.full(20, 0.1)
    before, after = (
        {
            row.defense: row
            for row in rank(Leaderboard("b", tuple(results)), lambda r: {"average_precision": held[r.key]})
        }
        for results in (whole, [*whole, new, *_not_attacked(whole, [new], CHOICE)])
    )
    assert {name: row.rank for name, row in before.items()} == {"best": 1, "middle": 2, "none": 3}
    assert {name: row.rank for name, row in after.items()} == {"best": 1, "none": 2, "middle": 3}
    assert after["best"].value == before["best"].value
    assert after["middle"].worst.mean(axis=1) == pytest.approx([0.1, before["middle"].worst[1].mean()])
