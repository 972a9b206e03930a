"""The protocol's lists of columns and flags are those of the code, in its order."""

from __future__ import annotations

import re
from pathlib import Path

from hashbench.boards import leaderboard, ranking
from hashbench.evaluation.flags import FLAGS

TEXT = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text(encoding="utf-8")


def table(heading: str) -> list[list[str]]:
    """The cells of the rows of the first table below a heading."""
    lines = TEXT.partition(f"\n## {heading}\n")[2].partition("\n## ")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")][2:]


def named(cell: str) -> list[str]:
    """The names of columns in a cell, without what is said of them in brackets."""
    while (bare := re.sub(r" ?\([^()]*\)", "", cell)) != cell:
        cell = bare
    return [name.strip() for name in cell.split(",")]


def test_results_have_the_columns_of_the_protocol() -> None:
    assert [name for _, cell in table("Columns of results.csv") for name in named(cell)] == leaderboard.COLUMNS


def test_rankings_have_the_columns_of_the_protocol() -> None:
    assert {name for cell, _ in table("Worst case and ranking") for name in named(cell)} == {*ranking.COLUMNS} - {
        "defense"
    }


def test_flags_are_those_of_the_protocol_in_their_order_with_a_star_where_attacks_were_hindered() -> None:
    told = [cell for cell, _ in table("Flags")]
    assert told == [f"`{flag.name}`{' *' if flag.masking else ''}" for flag in FLAGS.values()]
