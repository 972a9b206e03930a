"""What boards say side by side, made again from them and compared."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from hashbench.boards.across.groups import board_groups
from hashbench.boards.across.lengths import LengthSeries, length_series
from hashbench.boards.across.standings import first_table, ranks_table
from hashbench.boards.across.write import ACROSS, FIRST, RANKS
from hashbench.boards.files import read_boards, read_table
from hashbench.boards.plots.lengths import save_lengths
from hashbench.boards.query_files import DIGESTS, check_digests, drawn_with, read_digests
from hashbench.errors import BadInput
from hashbench.readers.board_columns import declared
from hashbench.readers.csv_tables import wrong_values
from hashbench.readers.folders import list_files, read_bytes
from hashbench.verification.findings import Findings
from hashbench.verification.pictures import LARGEST
from hashbench.verification.tables import Label, compare

ENDINGS = (".png", ".svg")


def check_across(out: Path) -> Findings:
    """Make the tables and pictures in the folder `across` again from the leaderboards beside it, and compare.

    The leaderboards are checked by themselves; here their tables and per-query files are taken as they are.
    """
    found, folder = Findings(), out / ACROSS
    try:
        if folder.is_symlink():
            raise BadInput(f"{ACROSS} is a link; write it again with 'hashbench page {out}'")
        found.problems += check_digests(folder)
        boards = read_boards(out)
        groups = board_groups(boards)
        tables = {RANKS: (ranks_table(groups), _of_board), FIRST: (first_table(groups), _of_group)} if groups else {}
        series = {one.name: one for one in length_series(boards)}
        drawn = [f"{name}{ending}" for name in series for ending in ENDINGS]
        there = {name for name in list_files(folder).files if name != DIGESTS}
        found.problems += [f"{name} is missing" for name in sorted({*tables, *drawn} - there)]
        found.problems += [f"{name} does not follow from any board" for name in sorted(there - {*tables, *drawn})]
        for name in sorted(there & tables.keys()):
            found.problems += _check_table(folder / name, *tables[name])
        if not found.problems and drawn:
            _check_pictures(folder, series, found)
    except BadInput as error:
        found.problems.append(str(error))
    return found


def _of_board(row: Mapping[str, Any]) -> str:
    return f"{row['defense']} on {row['board']}, {row['group']}"


def _of_group(row: Mapping[str, Any]) -> str:
    return f"{row['defense']}, {row['group']}"


def _check_table(path: Path, expected: pd.DataFrame, label: Label) -> list[str]:
    table = read_table(path)
    lacking = [name for name in expected.columns if name not in table.header]
    if lacking:
        return [f"{path.name} has no column {lacking[0]}"]
    wrong = wrong_values(table, declared(path.stem, table.header))
    return wrong or compare(path.name, expected, list(table.rows), table.header, label)


def _check_pictures(folder: Path, series: dict[str, LengthSeries], found: Findings) -> None:
    made, own = read_digests(folder).drawn_with, drawn_with()
    if made != own:
        theirs, ours = (", ".join(f"{name} {version}" for name, version in sorted(w.items())) for w in (made, own))
        found.notes.append(f"pictures were not drawn again: they are said to be of {theirs}, here are {ours}")
        return
    with tempfile.TemporaryDirectory() as place:
        for name, one in series.items():
            save_lengths(one, Path(place) / name)
            for path in (Path(place) / f"{name}{ending}" for ending in ENDINGS):
                if read_bytes(folder / path.name, LARGEST, folder) != path.read_bytes():
                    found.problems.append(f"{path.name} is not what the boards give; write it with 'hashbench page'")
