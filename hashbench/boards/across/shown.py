"""The tables of boards side by side as the page shows them, read back from their files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hashbench.boards.across.standings import OF_FIRST, OF_RANK
from hashbench.boards.across.write import ACROSS, FIRST, RANKS
from hashbench.boards.files import Row, read_table
from hashbench.errors import BadInput
from hashbench.readers.board_columns import declared
from hashbench.readers.csv_tables import wrong_values

EMPTY: Row = {}


@dataclass(frozen=True)
class GroupLine:
    """One defense of a group: its row of first.csv, empty where it is not ranked everywhere, and its ranks by board."""

    defense: str
    first: Row
    ranks: Mapping[str, Row]


@dataclass(frozen=True)
class ShownGroup:
    """A group of boards as a table: titles of its boards by place, and a line for each defense."""

    title: str
    boards: Mapping[str, str]
    lines: tuple[GroupLine, ...]


def shown_groups(out: Path) -> list[ShownGroup]:
    """The groups in the folder `across` of a folder of leaderboards; none where there are no tables.

    Raises:
        BadInput: a table is damaged.
    """
    folder = out / ACROSS
    if folder.is_symlink() or not (folder / RANKS).exists():
        return []
    ranks, first = (_rows(folder / name, columns) for name, columns in ((RANKS, OF_RANK), (FIRST, OF_FIRST)))
    found = []
    for title in dict.fromkeys(row["group"] for row in ranks):
        own = [row for row in ranks if row["group"] == title]
        means = {row["defense"]: row for row in first if row["group"] == title}
        others = dict.fromkeys(row["defense"] for row in own if row["defense"] not in means)
        lines = tuple(
            GroupLine(name, means.get(name, EMPTY), {row["board"]: row for row in own if row["defense"] == name})
            for name in (*means, *others)
        )
        found.append(ShownGroup(title, {row["board"]: row["title"] for row in own}, lines))
    return found


def length_pictures(out: Path) -> list[Path]:
    """The pictures of mAP against the length of codes in the folder `across` of a folder of leaderboards."""
    folder = out / ACROSS
    return [] if folder.is_symlink() else sorted(folder.glob("lengths-*.svg"))


def _rows(path: Path, columns: tuple[str, ...]) -> tuple[Row, ...]:
    table = read_table(path)
    wrong = [f"{path.name} has other columns than {', '.join(columns)}"] if table.header != columns else []
    if wrong := wrong or wrong_values(table, declared(path.stem, table.header)):
        raise BadInput(f"{wrong[0]}; make it again with 'hashbench page'")
    return table.rows
