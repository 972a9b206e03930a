"""What the tables of a terminal say, cell by cell, and the lines below them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from toy_results import matrix, result, save

from hashbench.boards.certificates import DefenseCertificate
from hashbench.boards.compare import compare
from hashbench.boards.leaderboard import leaderboards
from hashbench.boards.pairing import pair
from hashbench.boards.terminal import print_comparison, print_lines, print_matrix, print_study
from hashbench.running.store import Store

Said = Callable[[], list[str]]
NAMES = ["none", "noise", "dhta"]


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Said:
    """The lines of the output; of a table's rows, the cells with one bar between them, and no line without words."""

    def lines() -> list[str]:
        split = [line.replace("┃", "│").split("│") for line in capsys.readouterr().out.splitlines()]
        rows = [line[0] if len(line) == 1 else "|".join(map(str.strip, line[1:-1])) for line in split]
        return [row for row in rows if any(letter.isalnum() for letter in row)]

    return lines


LEGENDS = [
    "mAP in percent, expected over the orders of tied items [worst order, best order]",
    "worst case: per-query lowest AP over all untargeted attacks [95 % interval], for ranking",
    "certified: no attack within the budget can go below it; if it is low, nothing is proved",
    "t-MAP: mAP with respect to the target labels of a targeted attack; high means it succeeds",
]
TITLE = "digits, cnn, csq, 32 bits; l-inf eps 8/255; 10 queries, 50 in the database; seeds 0, 1"
BROKEN = [
    f"invalid: {defense} under broken, seed {seed}: it broke"
    for defense in ("undefended", "mine:steps=3", "other") for seed in (0, 1)
]  # fmt: skip


def test_a_wide_matrix(said: Said) -> None:
    made, ranking = matrix(NAMES)
    low = replace(ranking[1], status="below chance", note="it is below chance", group=None)
    no = replace(ranking[0], defense="mine:steps=3", status="invalid", certificate=DefenseCertificate(reason="random"))
    print_matrix(made, [replace(ranking[0], group=1), low, no])
    assert said() == [
        TITLE,
        "defense|clean|broken|noise|dhta t-MAP|worst case|certified|rank group",
        "undefended|91.0 [10.0, 90.0]|invalid|90.0 [10.0, 90.0]|70.0 [60.0, 80.0]|30.0|-|-",
        "mine:steps=3|61.0 [10.0, 90.0]|invalid|60.0 [10.0, 90.0]|70.0 [60.0, 80.0]|60.0 [40.0, 60.0]|-|-",
        "other|26.0 [10.0, 90.0]|invalid|-|70.0 [60.0, 80.0]|60.0 [40.0, 60.0]|20.0 [40.0, 60.0]|1",
        "chance|30.0||30.0|10.0|30.0||",
        *LEGENDS, *BROKEN,
        "not ranked: undefended: below chance; it is below chance",
        "no certificate: mine:steps=3: random",
    ]  # fmt: skip


def test_a_tall_matrix(said: Said) -> None:
    made, ranking = matrix([*NAMES, *(f"attack{place}" for place in range(4))])
    assert made.tall
    print_matrix(made, [replace(ranking[0], group=2), ranking[1]])
    assert said() == [
        TITLE,
        "attack|access|undefended|mine:steps=3|other|chance",
        "clean|white|91.0 [10.0, 90.0]|61.0 [10.0, 90.0]|26.0 [10.0, 90.0]|30.0",
        "attack0|white|88.0 [10.0, 90.0]|58.0 [10.0, 90.0]|23.0 [10.0, 90.0]|30.0",
        "attack1|white|87.0 [10.0, 90.0]|57.0 [10.0, 90.0]|22.0 [10.0, 90.0]|30.0",
        "attack2|white|86.0 [10.0, 90.0]|56.0 [10.0, 90.0]|21.0 [10.0, 90.0]|30.0",
        "attack3|white|85.0 [10.0, 90.0]|55.0 [10.0, 90.0]|20.0 [10.0, 90.0]|30.0",
        "broken|white|invalid|invalid|invalid|",
        "noise|white|90.0 [10.0, 90.0]|60.0 [10.0, 90.0]|-|30.0",
        "dhta t-MAP|white|70.0 [60.0, 80.0]|70.0 [60.0, 80.0]|70.0 [60.0, 80.0]|10.0",
        "worst case||30.0|-|60.0 [40.0, 60.0]|30.0",
        "certified||-|-|20.0 [40.0, 60.0]|",
        "rank group||-|-|2|",
        *LEGENDS, *BROKEN,
    ]  # fmt: skip


def test_a_matrix_without_a_ranking_or_numbers(said: Said) -> None:
    (made,) = leaderboards([result("none", attack, None) for attack in ("none", "pgd")])
    print_matrix(made)
    assert said() == [
        "digits, cnn, csq, 32 bits; l-inf eps 8/255; seed 0",
        "defense|clean|pgd",
        "undefended|invalid|invalid",
        LEGENDS[0],
        "invalid: undefended, clean queries, seed 0: it broke",
        "invalid: undefended under pgd, seed 0: it broke",
    ]


def test_a_comparison(said: Said, tmp_path: Path) -> None:
    store = Store(tmp_path)
    for defense, gain in (("none", 0.0), ("mine", 0.1)):
        for attack, level in (("none", 0.9), ("hag", 0.4), ("pgd", 0.5)):
            for seed in (0, 1, 2)[: 2 if attack == "pgd" else 3]:
                save(store, defense, attack, level + gain, seed)
    found = compare(store, pair(store.cells(), ("mine", "none")))
    first = replace(found.rows[0], measure="t_map", low=-0.02, high=0.2, p_holm=0.25)
    print_comparison(replace(found, rows=(first, *found.rows[1:]), cost=(2.0, None)))
    assert said() == [
        "attack|mine|undefended|difference [95 % interval]|p (Holm)|queries",
        "hag t-MAP|49.8|39.8|+10.0 [-2.0, +20.0]|= 0.250|39",
        "pgd|59.8|49.8|+10.0 [+10.0, +10.0]|< 0.001|39",
        "worst case|49.8|39.8|+10.0 [+10.0, +10.0]|< 0.001|39",
        "clean|95.1|88.0|||",
        "training cost|2.0 x|?|||",
        "mAP in percent; a positive difference favours mine, also with t-MAP",
        "training cost: forward and backward passes, relative to the undefended model",
        "seeds: 0, 1; incomplete and left out: 2",
        "mine is better than undefended: in the worst case mAP +10.0 points [+10.0, +10.0], p < 0.001.",
    ]


def test_a_study(said: Said) -> None:
    numbers = {
        "map_clean": 0.9, "map_fast": 0.6, "map_full": 0.55, "train_fast": 0.7, "delta_clean": 0.01,
        "delta_clean_low": -0.02, "delta_clean_high": 0.04, "delta_fast": 0.1, "delta_fast_low": 0.05,
        "delta_fast_high": 0.15, "delta_full": 0.08, "delta_full_low": 0.03, "delta_full_high": 0.13, "passes": 1234.4,
    }  # fmt: skip
    none = dict.fromkeys(name for name in numbers if name.startswith("delta"))
    rows = [
        {"defense": "none", **numbers, **none, "passes": None},
        {"defense": "cgat", **numbers, **dict.fromkeys(("delta_full", "map_full"))},
        {"defense": "mine", **numbers},
    ]
    print_study(pd.DataFrame(rows, dtype=object), "cgat")
    assert said() == [
        "variant|clean|fast|full|on training images|clean difference|worst-case difference [95 % interval]|passes",
        "undefended|90.0|60.0|55.0|70.0|-|-|-",
        "cgat|90.0|60.0||70.0|+1.0 [-2.0, +4.0]|+10.0 [+5.0, +15.0]|1234",
        "mine|90.0|60.0|55.0|70.0|+1.0 [-2.0, +4.0]|+8.0 [+3.0, +13.0]|1234",
        "fast: lowest AP per query without the versioned attack sets; full: with them; differences from cgat",
    ]


def test_lines_are_never_broken_and_hold_no_marks(said: Said) -> None:
    print_lines(["word " * 100, "[bold]\x1b[2Jodd"])
    assert said() == ["word " * 100, r"[bold]\x1b[2Jodd"]
