"""The tables of README.md and docs/boards.md are those of the leaderboards that they name."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from board_table import FIXED, PAGES, PLACE, renewed, table  # noqa: E402

STRONG = "saat:learning_rate=0.02,optimiser=adamw,weight_decay=0.1,reach=1.5,cutmix=0.25,weight=3"
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


@every_page
def test_the_tables_are_those_of_the_boards(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert len(PLACE.findall(text)) >= 2
    assert renewed(text) == text, "run scripts/board_table.py --write"


@every_page
def test_a_changed_number_is_noticed_and_mended(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    changed = re.sub(r"(\| \d+\.\d \|)", "| 12.3 |", text, count=1)
    assert changed != text
    assert renewed(changed) == text


def test_every_board_of_the_suite_has_its_table() -> None:
    text = (ROOT / "docs/boards.md").read_text(encoding="utf-8")
    shown = {board for _, _, board, _ in PLACE.findall(text)}
    assert shown == {str(path.parent.relative_to(ROOT)) for path in ROOT.glob("leaderboards/standard/*/ranking.csv")}


def shown(board: Path, first: int | None = None) -> list[str]:
    """The rows of a board's table."""
    return table(board, first).replace(FIXED, " ").splitlines()[2:]


def test_a_row_without_a_rank_says_why(tmp_path: Path) -> None:
    (tmp_path / "ranking.csv").write_text(
        "rank,defense,map_clean,map_worst,ci_low,ci_high,certified,status\n"
        '1,"cgat:weight=3",0.95,0.8123,0.79,0.83,,ranked\n,none,0.9,0.25,0.2,0.3,0.1,below chance\n'
        f'2,"{STRONG}",0.9,0.8,0.7,0.9,,ranked\n'
    )
    assert shown(tmp_path, first=1) == ["| 1 | `cgat:weight=3` | 95.0 | 81.2 [79.0, 83.0] | - |"]
    assert shown(tmp_path) == [
        "| 1 | `cgat:weight=3` | 95.0 | 81.2 [79.0, 83.0] | - |",
        "| below chance | undefended | 90.0 | 25.0 [20.0, 30.0] | 10.0 |",
        "| 2 | `saat:preset=strong` | 90.0 | 80.0 [70.0, 90.0] | - |",
    ]
