"""The cells of a leaderboard's folder with their arrays, and the row that a name such as digits/cgat stands for."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from hashbench.boards.files import Row, read_rows
from hashbench.boards.pairing import CLEAN
from hashbench.errors import BadInput, UnknownName, UsageError
from hashbench.readers.folders import folders_with
from hashbench.registry.entries import defenses
from hashbench.registry.parameters import suggestion
from hashbench.registry.spec import Spec
from hashbench.running.cell import ADAPTIVE
from hashbench.verification.board import RESULTS, SANITY, cell_of_row
from hashbench.verification.findings import BoardCell, Findings, verify_versions
from hashbench.verification.zoo import SUFFIX, ZOO


def read_cells(folder: Path, rows: Iterable[Row] | None = None) -> list[BoardCell]:
    """The valid cells of a leaderboard with their arrays, their numbers made again from these.

    Args:
        rows: those of results.csv that are wanted; all by default.

    Raises:
        BadInput: a file can't be read, or a cell's files do not fit its row.
    """
    found = Findings()
    for row in read_rows(folder / RESULTS) if rows is None else rows:
        verify_versions(row, RESULTS)
        if row.get("status") == "valid":
            cell_of_row(folder, row, found)
    if found.problems:
        raise BadInput(f"{folder}: {found.problems[0]}; see 'hashbench verify {folder}'")
    return found.cells


def flags_of_board(folder: Path) -> dict[str, list[str]]:
    """The flags of each defense in sanity.csv.

    Raises:
        BadInput: it can't be read.
    """
    found: dict[str, list[str]] = {}
    for row in read_rows(folder / SANITY) if (folder / SANITY).exists() else ():
        found.setdefault(row["defense"], []).extend(row.get("flags", "").split())
    return found


def find_row(name: str, seed: int, boards: Path) -> tuple[Path, BoardCell]:
    """The leaderboard's folder and the clean cell that a name and a seed stand for.

    Of several leaderboards that have the row, those with its weights come first, then the one with the most rows.

    Args:
        name: DATASET/DEFENSE, such as digits/cgat; the defense as in the tables, or without its parameters
            where the data set has only one such label.
        boards: a leaderboard's folder, or a folder of several.

    Raises:
        UnknownName: no leaderboard has such a row, or the name could mean several.
        BadInput: a file can't be read.
    """
    dataset, slash, defense = name.partition("/")
    if not slash or not defense:
        raise UnknownName(f"{name!r} names no row; write DATASET/DEFENSE, such as digits/cgat")
    rows = [
        (folder, row)
        for folder in folders_with(boards, (RESULTS,))
        for row in read_rows(folder / RESULTS)
        if row.get("attack") == CLEAN and row.get("attacker") == ADAPTIVE and row.get("status") == "valid"
    ]
    if not rows:
        raise UnknownName(f"{boards} has no leaderboard; name a folder of leaderboards")
    of_data = [(folder, row) for folder, row in rows if row["dataset"] == dataset]
    if not of_data:
        raise UnknownName(f"no leaderboard is of {dataset!r}{suggestion(dataset, {row['dataset'] for _, row in rows})}")
    label = _label(defense, {row["defense"] for _, row in of_data}, dataset)
    fitting = [(folder, row) for folder, row in of_data if row["defense"] == label]
    seeded = [(folder, row) for folder, row in fitting if row["seed"] == str(seed)]
    if not seeded:
        known = ", ".join(sorted({row["seed"] for _, row in fitting}, key=int))
        raise UnknownName(f"{dataset}/{label} has no row of seed {seed}; it has {known}")
    folder, row = min(seeded, key=lambda place: _preference(place[0], place[1], rows))
    ((result, arrays),) = read_cells(folder, [row])
    return folder, (result, arrays)


def _label(defense: str, labels: set[str], dataset: str) -> str:
    named = sorted(label for label in labels if label.partition(":")[0] == defense)
    with contextlib.suppress(UsageError):  # a preset, or other digits
        defense = next((one for one in (defense, defenses.choose(Spec.parse(defense)).label) if one in labels), defense)
    if defense in labels or len(named) == 1:
        return defense if defense in labels else named[0]
    if named:
        raise UnknownName(f"{dataset}/{defense} could mean {' or '.join(named)}; give one of them")
    raise UnknownName(f"no leaderboard of {dataset} has the defense {defense!r}{suggestion(defense, labels)}")


def _preference(folder: Path, row: Row, rows: Sequence[tuple[Path, Row]]) -> tuple[bool, int, str]:
    has_weights = (folder / ZOO / f"{row['model_digest']}{SUFFIX}").is_file()
    return not has_weights, -sum(place == folder for place, _ in rows), str(folder)
