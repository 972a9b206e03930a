"""Boards that earlier versions wrote."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from hashbench.boards.leaderboard import Leaderboard
from hashbench.boards.query_files import DIGESTS, drawn_with, write_digests
from hashbench.verification.findings import Findings
from hashbench.verification.pictures import check_pictures
from hashbench.verification.tables import by_column, check_table, ended


def test_intervals_of_older_boards_may_leave_0_and_100_and_those_of_today_may_not(tmp_path: Path) -> None:
    expected = pd.DataFrame({"defense": ["a"], "ci_low": [0.0], "ci_high": [1.0], "delta_ci_high": [0.25]})
    path = tmp_path / "matrix.csv"
    path.write_text("defense,ci_low,ci_high,delta_ci_high\na,-0.2,1.000131,0.25\n")
    assert check_table(path, expected, by_column("defense"), 2) == []
    (low, high) = check_table(path, expected, by_column("defense"))
    assert low == "matrix.csv: ci_low of a is -0.2; its cells give 0.0"
    assert high.startswith("matrix.csv: ci_high of a is 1.000131")
    assert ended([{"defense": "a", "ci_high": "x", "delta_ci_low": "-0.2"}], 2) == [
        {"defense": "a", "ci_high": "x", "delta_ci_low": "-0.2"}
    ]


def test_pictures_that_an_earlier_hashbench_drew_are_not_held_against_those_of_today(tmp_path: Path) -> None:
    write_digests(tmp_path)
    content = json.loads((tmp_path / DIGESTS).read_text())
    assert content["drawn_with"] == drawn_with()
    del content["drawn_with"]["pictures"]
    (tmp_path / DIGESTS).write_text(json.dumps(content))
    check_pictures(tmp_path, Leaderboard("none", ()), (), found := Findings())
    assert not found.problems
    (note,) = found.notes
    assert note.startswith("pictures were not drawn again: they are said to be of matplotlib ")
