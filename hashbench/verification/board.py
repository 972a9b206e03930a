"""Leaderboards recomputed from their per-query files, and what in them differs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hashbench.boards import leaderboard, probe_tables
from hashbench.boards.certificates import IN_RESULTS, cell_columns
from hashbench.boards.evidence_files import PROBES
from hashbench.boards.files import Row, read_rows, read_table
from hashbench.boards.leaderboard import KEY, Leaderboard
from hashbench.boards.pairing import FIELDS
from hashbench.boards.probe_tables import ProbeReport
from hashbench.boards.query_files import QUERIES, check_digests, read_arrays, read_digests, read_identity, write_digests
from hashbench.boards.ranking import RankingRow, rank, table
from hashbench.boards.write import with_worst
from hashbench.errors import BadInput
from hashbench.evaluation.flags import STATEFUL
from hashbench.evaluation.judge import Arrays
from hashbench.readers.board_columns import declared
from hashbench.readers.csv_tables import wrong_values
from hashbench.readers.folders import folders_with, list_files
from hashbench.readers.text import shown
from hashbench.registry.tracks import by_track
from hashbench.running.cell import SCHEMA_VERSION, cell_key, outdated
from hashbench.running.store import Result
from hashbench.verification.breaks import check_breaks
from hashbench.verification.cell import check_identity, make_again
from hashbench.verification.certificates import as_written, check_certificates, has_certificates
from hashbench.verification.findings import Findings, check_agreement, verify_versions, who
from hashbench.verification.pictures import check_pictures, draw_pictures, formats_of
from hashbench.verification.probes import check_probes
from hashbench.verification.tables import (
    by_column,
    check_provenance,
    check_table,
    compare,
    ended,
    identity_of,
    of_budget,
    of_model,
)
from hashbench.verification.zoo import check_zoo

Pictures = Callable[[Path, Leaderboard, Sequence[RankingRow], Findings], None]
RESULTS, MATRIX, RANKING, SANITY, CURVE = "results.csv", "matrix.csv", "ranking.csv", "sanity.csv", "curve.csv"
# Text columns of results.csv that belong to a cell's numbers; all others of them are numbers.
DIGESTS = ("config_digest", "model_digest", "codes_digest")
NUMBERS = [*leaderboard.QUALITY, *leaderboard.TARGETED, *leaderboard.SIZES, *leaderboard.AUDIT, *leaderboard.COST]
MEMORY = 4 << 30  # bytes of all arrays of a board, which are held at once
TAKEN = ("t_map_low", "t_map_high", "t_chance_map")  # of a targeted attack, from the row itself
UNPROBED = (
    "it was made before the evidence of probes was kept, or that was taken out: flags, sanity.csv and curve.csv are "
    "taken on trust; make them again with 'hashbench report'"
)


def verify_board(folder: Path, pictures: Pictures | None = None) -> Findings:
    """Check a leaderboard's folder: digests, format, and every number and picture that follows from its evidence.

    Args:
        pictures: what is done with the pictures, once all numbers are found to be right; by default they are checked.
    """
    found = Findings()
    try:
        found.problems += check_digests(folder)
        rows = _check_form(folder, found)
        check_provenance(folder, rows, found)
        results = _results(folder, rows, found)
        listed = {f"{QUERIES}/{row['config_digest']}.npz" for row in rows}
        held = {name for name in list_files(folder).files if name.startswith(f"{QUERIES}/")}
        found.problems += [f"{name} belongs to no row" for name in sorted(held - listed)]
        check_agreement(found)
        check_breaks(folder, found)
        check_zoo(folder, [row["model_digest"] for row in rows], found)
        _check_tables(folder, rows, results, found, pictures or check_pictures)
    except BadInput as error:
        found.problems.append(str(error))
    return found


def draw_again(folder: Path) -> None:
    """Draw a leaderboard's pictures again from its files, after checking its numbers, and renew its digests.

    Raises:
        BadInput: a number is wrong, so that there is nothing to draw.
    """

    def draw(folder: Path, board: Leaderboard, ranking: Sequence[RankingRow], found: Findings) -> None:
        draw_pictures(folder, folder, board, ranking, formats_of(list_files(folder).files))
        write_digests(folder, read_digests(folder))

    found = verify_board(folder, draw)
    if found.problems:
        raise BadInput(f"{folder} is not drawn again: {found.problems[0]}")


def _check_form(folder: Path, found: Findings) -> list[Row]:
    """The rows of results.csv, after versions, columns, types and duplicates, and that all may be compared."""
    content = read_table(folder / RESULTS)
    rows = list(content.rows)
    if not rows:
        raise BadInput(f"{RESULTS} has no rows")
    for row in rows:
        verify_versions(row, RESULTS)
    older = () if has_certificates(folder) else IN_RESULTS
    if lacking := [name for name in leaderboard.COLUMNS if name not in (*content.header, *older)]:
        raise BadInput(f"{RESULTS} lacks the column {lacking[0]}; write it again with 'hashbench report'")
    found.problems += wrong_values(content, declared("results", content.header))
    seen: set[tuple[str, ...]] = set()
    for number, row in enumerate(rows, 2):
        for names in (KEY, ["config_digest"]):
            key = tuple(row[name] for name in names)
            if key in seen:
                found.problems.append(f"{RESULTS}, line {number}: {who(row)} appears twice")
                break
            seen.add(key)
        odd = [name for name in NUMBERS if row.get(name, "").lower().strip("+-") in ("nan", "inf", "infinity")]
        found.problems += [f"{RESULTS}, line {number}: {name} of {who(row)} is {row[name]}" for name in odd]
        if not row["config_digest"].isalnum():
            raise BadInput(f"{RESULTS}, line {number}: config_digest is {shown(row['config_digest'])}; no cell has it")
    if len(tracks := by_track([(row["access"], "") for row in rows])) > 1:
        found.problems.append(f"{RESULTS} mixes tracks: rows with access {', '.join(filter(None, tracks))} and others")
    for name, words in FIELDS.items():
        values = sorted({row[name] for row in rows})
        if len(values) > 1:
            found.problems.append(f"{RESULTS} mixes rows of different {words}: {', '.join(values)}")
    return rows


def _results(folder: Path, rows: Iterable[Row], found: Findings) -> list[Result]:
    """The cells of all rows that can be recomputed.

    Raises:
        BadInput: their arrays take more than MEMORY together.
    """
    results: list[Result] = []
    held = 0
    for row in rows:
        cells = len(found.cells)
        result = cell_of_row(folder, row, found)
        results += [result] if result else []
        held += sum(array.nbytes for _, arrays in found.cells[cells:] for array in arrays.values())
        if held > MEMORY:
            raise BadInput(f"the files in {QUERIES} unpack to more than {MEMORY >> 30} GB; verify the board in parts")
    return results


def cell_of_row(folder: Path, row: Row, found: Findings) -> Result | None:
    """A row's cell, recomputed and put into `found` with its arrays; None if that fails, and `found` says why."""
    key = row["config_digest"]
    if row["status"] != "valid":
        if any(row[name] for name in ("map", "map_low", "map_high", "t_map")):
            found.problems.append(f"{RESULTS}: {who(row)} is {row['status']} and has numbers")
        try:
            identity = identity_of(row)
            check_identity(identity, RESULTS)
            return Result(key, identity, {}, {"created_utc": ""}, row["status"], row["reason"])
        except BadInput as error:
            found.problems.append(f"{RESULTS}: {who(row)}: {error}")
            return None
    name = f"{QUERIES}/{key}.npz"
    try:
        arrays = read_arrays(folder / name, folder)
        identity = read_identity(arrays, name)
        check_identity(identity, name)
        if who(identity) != who(row):
            raise BadInput(f"{name} belongs to {who(identity)}")
        if identity["schema_version"] == SCHEMA_VERSION and cell_key(identity) != key:
            raise BadInput(f"{name} has the identity of {cell_key(identity)}: a field of it was changed")
        numbers = {**_numbers(row), **make_again(arrays, identity, name)}
        if lacking := [column for column in TAKEN if column not in numbers and identity["goal"] == "targeted"]:
            raise BadInput(f"{RESULTS} has no {lacking[0]}")
    except BadInput as error:
        found.problems.append(f"{who(row)}: {error}")
        return None
    result = Result(key, identity, numbers, {"created_utc": ""})
    found.cells.append((result, arrays))
    return result


def _numbers(row: Row) -> dict[str, Any]:
    """A row's own numbers, for those that can't be recomputed."""
    numbers: dict[str, Any] = {name: row[name] for name in DIGESTS if row[name]}
    for name in set(NUMBERS) - set(IN_RESULTS):
        value = _number(row[name])
        if value is not None:
            numbers[name] = value
    return numbers


def _number(text: str) -> float | int | None:
    try:
        value = float(text)
    except ValueError:
        return None
    if not math.isfinite(value):
        return None
    return int(value) if value == int(value) and "." not in text else value


def _check_tables(
    folder: Path, rows: list[Row], results: Sequence[Result], found: Findings, pictures: Pictures
) -> None:
    """Recompute tables and pictures from the cells and probes, and compare them value by value.

    Raises:
        BadInput: a file can't be read, or its parts don't fit together.
    """
    held = {result.key: arrays for result, arrays in found.cells}

    def arrays(result: Result) -> Arrays:
        return held.get(result.key, {})

    old = max((outdated(result.identity) for result, _ in found.cells), default=())
    board = Leaderboard(folder.name, tuple(sorted(results, key=leaderboard.order)), old)
    valid = Leaderboard(folder.name, tuple(r for r in board.results if r.key in held))
    certificates = check_certificates(folder, found)
    again = as_written(valid.rows(cell_columns(valid.results, arrays, certificates)), "results", folder)
    version = read_digests(folder).ranking
    given = [row for row in ended(rows, version) if row["config_digest"] in held]
    header = tuple(rows[0])
    found.problems += compare(RESULTS, again, given, header, by_column("config_digest"), who)
    if len(results) < len(rows):
        return  # what is wrong in the cells is named; the other tables follow from them
    flags = _flags(folder, board, found)
    ranking = rank(board, arrays, flags, certificates, clean_counts=version > 1)
    matrix = with_worst(board.matrix(), ranking, board.chance)
    for name, expected in ((MATRIX, matrix), (RANKING, as_written(table(ranking), "ranking", folder))):
        found.problems += check_table(folder / name, expected, by_column("defense"), version)
    if not found.problems:
        pictures(folder, board, ranking, found)


def _flags(folder: Path, board: Leaderboard, found: Findings) -> dict[str, list[str]]:
    """The flags of each defense over its seeds, from the probes; from sanity.csv in folders of older versions."""
    marked = PROBES in read_digests(folder).evidence
    held = any(name.startswith(f"{PROBES}/") for name in list_files(folder).files)
    if not marked and not held:
        found.notes.append(UNPROBED)
        for name in (SANITY, CURVE):
            kept = read_table(folder / name)
            found.problems += wrong_values(kept, declared(name.removesuffix(".csv"), kept.header))
        return probe_tables.flags_by_defense(
            (row["defense"], row.get("flags", "").split()) for row in read_rows(folder / SANITY)
        )
    if not marked:
        found.problems.append(f"{PROBES} is there, and digests.json names no such evidence")
    reports = [_with_stateful(report, read_rows(folder / SANITY)) for report in check_probes(folder, board, found)]
    tables = probe_tables.tables(reports)
    found.problems += check_table(folder / SANITY, tables["sanity"], of_model)
    found.problems += check_table(folder / CURVE, tables["curve"], of_budget, read_digests(folder).ranking)
    return probe_tables.flags_of(reports)


def _with_stateful(report: ProbeReport, rows: Iterable[Row]) -> ProbeReport:
    """A report with the flag `stateful` where the table has it: it takes the model to raise it, and costs the rank."""
    given = any(
        (row["defense"], row.get("seed")) == (report.defense, str(report.seed)) and STATEFUL in row.get("flags", "")
        for row in rows
    )
    return replace(report, flags=(*report.flags, STATEFUL)) if given and STATEFUL not in report.flags else report


def boards_in(paths: Iterable[Path]) -> list[Path]:
    """The folders below some paths that hold a leaderboard or a submission, in order.

    Raises:
        BadInput: a path holds neither.
    """
    found: list[Path] = []
    for path in paths:
        inside = folders_with(path, (RESULTS, "run.json"))
        if not inside:
            raise BadInput(
                f"{path} has no {RESULTS} and no run.json in it; name a leaderboard's folder or a submission"
            )
        found += [folder for folder in inside if folder not in found]
    return found
