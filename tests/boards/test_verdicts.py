"""Why a row is ranked or not, which attack is its worst, and how rankings become tables."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest
from toy_results import result

from hashbench.boards import ranking as module
from hashbench.boards.certificates import DefenseCertificate
from hashbench.boards.intervals import ConfidenceInterval
from hashbench.boards.ranking import RankingRow, table
from hashbench.boards.write import with_worst

ROW = RankingRow(
    "mine", "ranked", "", (), (0,), ("noise", "standard"), worst=np.full((1, 4), 0.5), chance=0.2, clean=0.9
)
OWN = {("standard", 0): result("mine", "standard", 0.5), ("noise", 0): result("mine", "noise", 0.8)}


def verdict(row: RankingRow = ROW, own: Any = OWN, attacks: tuple[str, ...] = ROW.attacks, whole: bool = True) -> Any:
    return module._verdict(row, own, attacks, whole, has_clean=True)


def test_each_verdict_has_its_reason() -> None:
    assert verdict() == ("ranked", "")
    broken = {**OWN, ("hag", 3): result("mine", "hag", None)}
    assert verdict(own=broken) == ("invalid", "invalid under hag, seed 3: it broke")
    assert verdict(attacks=()) == ("incomplete", "no untargeted attack was run; add --attack")
    assert verdict(attacks=("hag", "p2p", "noise"), whole=False) == (
        "incomplete", "has no per-query values under hag, p2p, which others have; run it with them",
    )  # fmt: skip
    masked = replace(ROW, flags=("stochastic", "zero_gradient", "saturated", "noise_as_strong", "unknown"))
    assert verdict(masked) == (
        "flagged",
        "stochastic: its codes differ from pass to pass, so that nobody can verify its numbers; "
        "zero_gradient, saturated: the true worst case may be lower",
    )
    assert verdict(replace(ROW, flags=("high_tie_mass",)))[0] == "flagged"
    assert verdict(replace(ROW, flags=("noise_as_strong",))) == ("ranked", "")
    below = ("below chance", "a model that gives one code to everything scores 50.0")
    assert verdict(replace(ROW, chance=0.5)) == below
    assert verdict(replace(ROW, chance=0.49)) == ("ranked", "")
    assert verdict(replace(ROW, chance=None)) == ("ranked", "")
    assert verdict(replace(ROW, attacks=("noise",))) == ("unranked", "run it with --attack standard")
    more = replace(ROW, defense="cgat:unlabelled=0.5")
    assert verdict(more)[0] == "more data"
    assert verdict(replace(more, attacks=("noise",)))[0] == "more data"
    assert verdict(replace(more, chance=0.5)) == below
    assert verdict(replace(ROW, defense="cgat:weight=0.5")) == ("ranked", "")
    two = {**OWN, ("standard", 2): OWN["standard", 0], ("noise", 1): OWN["noise", 0]}
    assert verdict(own=two) == ("ranked", "left out, not all attacks: seed 1 2")


def test_the_worst_attack_is_the_one_that_is_most_often_the_lowest() -> None:
    often = np.array([[[0.1, 0.1, 0.9]], [[0.2, 0.2, 0.0]]])
    assert module._lowest(("a", "b"), often) == "a", "though b has the lower mean"
    assert module._lowest(("a", "b"), often[::-1]) == "b"
    tied = np.array([[[0.1, 0.9]], [[0.2, 0.1]]])
    assert module._lowest(("a", "b"), tied) == "b", "of equals the lower mean"
    assert module._lowest(("b", "a"), np.full((2, 1, 3), 0.5)) == "a", "then the name"


def test_an_attack_set_has_a_name_and_a_digest_of_what_was_run() -> None:
    cells = [result("mine", "standard", 0.5), result("mine", "pgd", 0.5)]
    name, own = module._attack_set(cells)
    assert name.startswith("standard-")
    assert (name, own) == module._attack_set(cells[::-1])
    custom, other = module._attack_set(cells[1:])
    assert custom == "custom"
    assert own != other
    changed = [replace(cells[1], identity={**cells[1].identity, "attack_params": {"steps": 6}})]
    assert module._attack_set(changed)[1] != other


def test_the_reference_is_tuned_if_possible_and_else_the_highest() -> None:
    def reference(*names: str, status: str = module.RANKED) -> str:
        plain = [name.rstrip("!") for name in names]
        return module._reference(cells(*names), [Mock(defense=name, status=status, value=0.5) for name in plain])

    def cells(*names: str) -> Any:
        return {
            (name, "none", 0): result(name.rstrip("!"), "none", 0.5, tuned="t" if name.endswith("!") else "")
            for name in names
        }

    assert reference("lap", "cgat", "cgat:ema=0.5!", "none") == "cgat:ema=0.5!"
    assert reference("none", "cgat:b=1!", "cgat:a=1!") == "cgat:a=1!"
    assert reference("lap", "cgat:ema=0.5", "cgat", "none") == "cgat:ema=0.5", "rows come in their order"
    assert reference("none", "cgat:ema=0.5", "saat!") == "cgat:ema=0.5"
    assert reference("none", "saat!") == ""
    assert reference("cgat", status=module.UNRANKED) == "cgat"
    assert reference("cgat:unlabelled=1.0", status=module.MORE_DATA) == ""


def test_a_ranking_becomes_a_table_and_columns_of_the_matrix() -> None:
    interval = ConfidenceInterval(0.5, 0.4, 0.6, 0.01)
    sure = DefenseCertificate(reason="random")
    first = replace(
        ROW, interval=interval, delta=replace(interval, mean=-0.1), rank=1, group=2, cost=8.5, p_holm=0.03,
        worst_attack="standard", attack_set=("standard-2", "b" * 16), flags=("x", "y"), seeds=(0, 1), note="a note",
        certificate=sure,
    )  # fmt: skip
    bare = RankingRow("none", "incomplete", "no attack")
    one, two = table([first, bare]).to_dict("records")
    assert one == {
        "rank": 1, "defense": "mine", "seeds": "0 1", "map_clean": 0.9, "map_worst": 0.5, "ci_low": 0.4, "ci_high": 0.6,
        "certified": None, "certified_ci_low": None, "certified_ci_high": None, "free_bits": None,
        "untouched_share": None, "worst_attack": "standard", "attack_set": "standard-2", "attack_set_digest": "b" * 16,
        "attacks": "noise standard", "delta_vs_cgat": -0.1, "delta_ci_low": 0.4, "delta_ci_high": 0.6, "p_holm": 0.03,
        "rank_group": 2, "chance_map": 0.2, "n_queries": 4, "train_cost": 8.5, "flags": "x y", "status": "ranked",
        "note": "a note; no certificate: random",
    }  # fmt: skip
    assert {name: two[name] for name in ("rank", "map_worst", "n_queries", "note")} == {
        "rank": None, "map_worst": None, "n_queries": None, "note": "no attack",
    }  # fmt: skip
    matrix = pd.DataFrame({"defense": ["none", "mine", "chance"]})
    whole = with_worst(matrix, [first, bare], 0.1).fillna(-1).to_dict("list")
    assert whole == {
        "defense": ["none", "mine", "chance"], "worst": [-1, 0.5, 0.1], "worst ci_low": [-1, 0.4, -1],
        "worst ci_high": [-1, 0.6, -1],
    }  # fmt: skip
    assert list(with_worst(matrix, [bare], 0.1).columns) == ["defense"]
    assert with_worst(matrix, [replace(first, interval=None)], 0.1)["worst ci_low"].isna().all()


def test_rows_without_shared_seeds_or_values_have_no_difference() -> None:
    other = replace(ROW, defense="other", seeds=(1, 0), worst=np.array([[0.1] * 4, [0.2] * 4]))
    assert module._difference(ROW, other) == pytest.approx(np.full((1, 4), 0.3))
    assert module._difference(other, ROW) == pytest.approx(np.full((1, 4), -0.3))
    for lacking in (replace(ROW, seeds=(7,)), replace(ROW, worst=np.empty((0, 0)))):
        assert module._difference(ROW, lacking).shape == (0, 0)
        assert module._difference(lacking, ROW).shape == (0, 0)
