"""A leaderboard's folder, read back as text, from which pictures and the page are made."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from hashbench.boards.leaderboard import title_of
from hashbench.boards.query_files import QUERIES, read_arrays
from hashbench.boards.ranking import is_flagged
from hashbench.errors import BadInput
from hashbench.metrics.distance_counts import Counts
from hashbench.readers import csv_tables
from hashbench.readers.board_columns import declared
from hashbench.readers.csv_tables import Table, with_names, wrong_values
from hashbench.readers.folders import folders_with
from hashbench.registry.tracks import naming_row
from hashbench.threat import format_eps

Row = dict[str, str]

ROUNDED = 255e-6  # grey levels that a budget can lose by rounding in the tables
TABLES = ("results", "ranking", "sanity", "curve", "provenance")
# Columns of results.csv without which a cell can't be placed.
NEEDED = (
    "dataset", "backbone", "method", "bits", "defense", "attack", "access", "norm", "eps", "seed", "config_digest",
)  # fmt: skip


@dataclass(frozen=True)
class LeaderboardFiles:
    """A leaderboard read back from its folder: one dictionary per row; a missing table has no rows."""

    folder: Path
    results: tuple[Row, ...]
    ranking: tuple[Row, ...] = ()
    sanity: tuple[Row, ...] = ()
    curve: tuple[Row, ...] = ()
    provenance: tuple[Row, ...] = ()
    group: str = ""  # the parent folder, for leaderboards that are grouped in one

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name

    @property
    def place(self) -> str:
        """The folder's path relative to the folder of all leaderboards."""
        return f"{self.group}/{self.name}" if self.group else self.name

    @property
    def subject(self) -> Row:
        """The fields that all rows share: data set, method, bits, budget and so on."""
        return naming_row(self.results)

    @cached_property
    def commands(self) -> Row:
        """The commands that measured the cells, by `config_digest`, where they are known."""
        return {row["config_digest"]: row.get("command", "") for row in self.provenance if "config_digest" in row}

    @property
    def exact_eps(self) -> float:
        """The budget without the rounding of the tables, if it is a whole number of grey levels."""
        eps = number(self.subject["eps"]) or 0.0
        if self.subject["norm"] == "l2":
            return eps
        levels = round(255 * eps)
        return levels / 255 if abs(255 * eps - levels) < ROUNDED else eps

    @property
    def eps(self) -> str:
        """The budget as people write it: 8/255 where it is a whole number of grey levels."""
        return format_eps(self.exact_eps, self.subject["norm"])

    @property
    def title(self) -> str:
        """The subject and the threat, for people."""
        title = title_of({**self.subject, "eps": self.exact_eps})
        return f"{self.group}: {title}" if self.group else title

    @property
    def defenses(self) -> list[str]:
        """Labels of the defenses: in the order of ranking.csv, then those not in it, `none` first."""
        ranked = [row["defense"] for row in self.ranking]
        others = sorted({row["defense"] for row in self.results} - set(ranked), key=lambda d: (d != "none", d))
        return ranked + others

    @property
    def flagged(self) -> set[str]:
        """Labels of the defenses with a flag by which their numbers can't be trusted."""
        return {row["defense"] for row in self.ranking if is_flagged(row.get("flags", "").split())}

    @property
    def chance(self) -> float | None:
        """Mean AP of a random ranking, which is also that of a constant code, in [0, 1]."""
        levels = [level for row in self.results if (level := number(row.get("chance_map"))) is not None]
        return sum(levels) / len(levels) if levels else None

    def cells(self, defense: str, attack: str | None = None) -> list[Row]:
        """The rows of results.csv of a defense, or only those of one attack with an adaptive attacker."""
        return [
            row
            for row in self.results
            if row["defense"] == defense
            and (attack is None or (row["attack"] == attack and row.get("attacker", "adaptive") == "adaptive"))
        ]

    def counts(self, cell: Row) -> Counts | None:
        """Database items by distance, for each query of a cell; None if they were not kept.

        Raises:
            BadInput: the file is damaged.
        """
        path = self.folder / QUERIES / f"{cell['config_digest']}.npz"
        if not path.is_file():
            return None
        try:
            arrays = read_arrays(path, self.folder)
            return Counts(arrays["items"].astype(np.int64), arrays["relevant"].astype(np.int64))
        except (BadInput, KeyError) as error:
            raise BadInput(f"{path} can't be read ({error}); make it again with 'hashbench report'") from None


def read_boards(out: Path) -> list[LeaderboardFiles]:
    """All leaderboards in a folder and in the folders inside it, by place.

    Raises:
        BadInput: a table is damaged.
    """
    folders = folders_with(out, ("results.csv",))
    return [replace(read_board(folder), group="/".join(folder.relative_to(out).parts[:-1])) for folder in folders]


def boards_of_page(out: Path) -> list[LeaderboardFiles]:
    """The same of a folder that a page is made of, which holds at least one.

    Raises:
        BadInput: it is no folder, there is no leaderboard in it, or a table is damaged.
    """
    if out.exists() and not out.is_dir():
        raise BadInput(f"{out} is no folder; name the one that holds the leaderboards")
    boards = read_boards(out)
    if not boards:
        raise BadInput(f"{out} holds no leaderboard; make one with 'hashbench run --out {out}'")
    return boards


def read_board(folder: Path) -> LeaderboardFiles:
    """The tables of one leaderboard.

    Raises:
        BadInput: results.csv is missing or empty, or a table is malformed.
    """
    paths = [folder / f"{name}.csv" for name in TABLES]
    tables = [_typed_rows(path) if path.exists() else () for path in paths]
    results, ranking, sanity, curve, provenance = tables
    if not results:
        raise BadInput(f"{folder / 'results.csv'} has no rows; make it again with 'hashbench report'")
    return LeaderboardFiles(folder, results, ranking, sanity, curve, provenance)


def number(text: str | None) -> float | None:
    """A number of a table; None for an empty field.

    Raises:
        BadInput: the field is neither empty nor a number.
    """
    try:
        return float(text) if text else None
    except ValueError:
        raise BadInput(f"a table has {text!r} where a number belongs; make it again with 'hashbench report'") from None


def read_table(path: Path) -> Table:
    """A leaderboard's table as text: the same reader for pictures, the page and `hashbench verify`.

    Raises:
        BadInput: it can't be read, a row has too few or too many values, or a column that is needed is missing.
    """
    needed = NEEDED if path.stem == "results" else ("defense",)
    return with_names(csv_tables.read_rows(path, needed=needed, inside=path.parent))


def read_rows(path: Path) -> list[Row]:
    """The rows of a leaderboard's table as text.

    Raises:
        BadInput: as of `read_table`.
    """
    return list(read_table(path).rows)


def _typed_rows(path: Path) -> tuple[Row, ...]:
    """The rows of a table, checked against its columns' types."""
    table = read_table(path)
    if wrong := wrong_values(table, declared(path.stem, table.header)):
        raise BadInput(f"{wrong[0]}; make it again with 'hashbench report'")
    return table.rows
