"""The declared columns hold for every leaderboard that comes with hashbench, and for no edited one."""

from __future__ import annotations

from pathlib import Path

import pytest

from hashbench.readers.board_columns import TABLES, TUNED, declared
from hashbench.readers.csv_tables import read_rows, read_table, wrong_values

ROOT = Path(__file__).parents[2]
# Boards that were made before there were certificates lack these columns.
SINCE_CERTIFICATES = {"certified", "certified_ci_low", "certified_ci_high", "free_bits", "untouched_share"}


@pytest.mark.parametrize("table", TABLES)
def test_the_tables_in_the_repository_have_nothing_wrong(table: str) -> None:
    found = sorted((ROOT / "leaderboards").rglob(f"{table}.csv"))
    assert found
    for path in found:
        rows = read_rows(path, needed=["defense"], inside=ROOT)
        assert not wrong_values(rows, declared(table, rows.header))
        lacking = TABLES[table].keys() - set(rows.header)
        assert lacking <= SINCE_CERTIFICATES, path


def test_the_tuned_values_in_the_repository_are_read() -> None:
    found = [read_table(path, TUNED) for path in sorted((ROOT / "hashbench").rglob("tuned.csv"))]
    assert found
    assert all(0 <= float(str(row["map"])) <= 1 for rows in found for row in rows)


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("results", "eps", "nan"),
        ("results", "eps", "51000"),
        ("results", "map", "one"),
        ("results", "map", "1.5"),
        ("results", "seed", "0.5"),
        ("results", "bits", "1e9"),
        ("results", "status", "ranked\x1b[2J"),
        ("results", "dataset", "digits\nvalid: all"),
        ("ranking", "map_worst", "inf"),
        ("ranking", "defense", "\u202ecgat"),
        ("ranking", "note", "a\rb"),
        ("curve", "eps", "-1"),
        ("sanity", "map_white_box", "0,5"),
        ("provenance", "code_dirty", "maybe"),
        ("provenance", "attack_seconds", "-1"),
    ],
)
def test_an_edited_value_is_named(tmp_path: Path, table: str, column: str, value: str) -> None:
    rows = read_rows(next((ROOT / "leaderboards").rglob(f"{table}.csv")))
    text = [",".join(rows.header), ",".join(f'"{value}"' if name == column else "" for name in rows.header)]
    (tmp_path / "edited.csv").write_text("\n".join(text) + "\n", newline="")
    edited = read_rows(tmp_path / "edited.csv")
    wrong = wrong_values(edited, declared(table, edited.header))
    assert any(f": {column} is " in line for line in wrong)
    assert all(line.isprintable() for line in wrong)
