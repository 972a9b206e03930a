"""Leaderboards made again from their per-query files, and what in them does not come out the same."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from hashbench.boards import leaderboard
from hashbench.boards.files import Row, read_rows
from hashbench.boards.intervals import cell_intervals
from hashbench.boards.leaderboard import KEY, Leaderboard
from hashbench.boards.pairing import FIELDS
from hashbench.boards.probe_tables import flags_by_defense
from hashbench.boards.query_files import HOST_TABLE, QUERIES, check_digests, read_arrays, read_identity
from hashbench.boards.ranking import rank, table, with_worst
from hashbench.errors import BadInput
from hashbench.evaluation.judge import PROTOCOL_VERSION, Arrays
from hashbench.running.cell import SCHEMA_VERSION
from hashbench.running.store import Result
from hashbench.verification.cell import check_identity, differs, make_again

RESULTS, MATRIX, RANKING, SANITY = "results.csv", "matrix.csv", "ranking.csv", "sanity.csv"
# Text columns of results.csv that belong to a cell's numbers; all others of them are numbers.
DIGESTS = ("config_digest", "model_digest", "codes_digest")
NUMBERS = [*leaderboard.QUALITY, *leaderboard.TARGETED, *leaderboard.SIZES, *leaderboard.AUDIT, *leaderboard.COST]
TAKEN = ("t_map_low", "t_map_high", "t_chance_map")  # of a targeted attack, from the row itself


@dataclass
class Findings:
    """What is wrong in a folder, and what a reader should know of it; one line each.

    `cells` holds the cells that came out the same, with their arrays.
    """

    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    cells: list[tuple[Result, Arrays]] = field(default_factory=list)


def verify_board(folder: Path) -> Findings:
    """Check a leaderboard's folder: digests, form, and every number that its per-query files decide."""
    found = Findings(check_digests(folder))
    try:
        rows = read_rows(folder / RESULTS)
        _check_form(rows, found)
    except BadInput as error:
        found.problems.append(str(error))
        return found
    _check_provenance(folder, rows, found)
    results = [result for row in rows if (result := _result(folder, row, found))]
    listed = {f"{row['config_digest']}.npz" for row in rows}
    strays = {path.name for path in (folder / QUERIES).glob("*")} - listed
    found.problems += [f"{QUERIES}/{name} belongs to no row" for name in sorted(strays)]
    _check_agreement(found)
    _check_tables(folder, rows, results, found)
    return found


def verify_versions(identity: Mapping[str, Any], name: str) -> None:
    """Refuse what another protocol or schema made.

    Raises:
        BadInput: with both versions.
    """
    for column, own in (("schema_version", SCHEMA_VERSION), ("protocol_version", PROTOCOL_VERSION)):
        given = str(identity.get(column, ""))
        if given != str(own):
            raise BadInput(
                f"{name} has {column} {given or '(none)'}; this hashbench reads {own}, use the one that made it"
            )


def who(identity: Mapping[str, Any]) -> str:
    """A cell as messages name it."""
    attacker = "" if identity["attacker"] == "adaptive" else f" ({identity['attacker']})"
    return f"{identity['defense']} under {identity['attack']}{attacker}, seed {identity['seed']}"


def _check_form(rows: list[Row], found: Findings) -> None:
    """Versions, columns, duplicates, NaN, and that all rows may be compared."""
    if not rows:
        raise BadInput(f"{RESULTS} has no rows")
    for row in rows:
        verify_versions(row, RESULTS)
    if lacking := [name for name in leaderboard.COLUMNS if name not in rows[0]]:
        raise BadInput(f"{RESULTS} lacks the column {lacking[0]}; write it again with 'hashbench report'")
    seen: dict[tuple[str, ...], str] = {}
    for number, row in enumerate(rows, 2):
        for names in (KEY, ["config_digest"]):
            key = tuple(row[name] for name in names)
            if key in seen:
                found.problems.append(f"{RESULTS}, line {number}: {who(row)} stands there twice")
                break
            seen[key] = ""
        odd = [name for name in NUMBERS if row[name].lower().strip("+-") in ("nan", "inf", "infinity")]
        found.problems += [f"{RESULTS}, line {number}: {name} of {who(row)} is {row[name]}" for name in odd]
    for name, words in FIELDS.items():
        values = sorted({row[name] for row in rows})
        if len(values) > 1:
            found.problems.append(f"{RESULTS} mixes rows of different {words}: {', '.join(values)}")


def _check_provenance(folder: Path, rows: list[Row], found: Findings) -> None:
    try:
        hosts = read_rows(folder / HOST_TABLE)
        keys = [host["config_digest"] for host in hosts]
        dirty = sum(host["code_dirty"].lower() == "true" for host in hosts)
    except (BadInput, KeyError):
        found.problems.append(f"{HOST_TABLE} is missing, or lacks config_digest or code_dirty")
        return
    if sorted(keys) != sorted(row["config_digest"] for row in rows):
        found.problems.append(f"{HOST_TABLE} does not have the same cells as {RESULTS}")
    if dirty:
        found.warnings.append(f"{dirty} of {len(hosts)} cells were made from a dirty working tree")


def _result(folder: Path, row: Row, found: Findings) -> Result | None:
    """A row's cell, made again; None where that can't be done."""
    key = row["config_digest"]
    if row["status"] != "valid":
        if any(row[name] for name in ("map", "map_low", "map_high", "t_map")):
            found.problems.append(f"{RESULTS}: {who(row)} is {row['status']} and has numbers")
        try:
            return Result(key, _identity(row), {}, {"created_utc": ""}, row["status"], row["reason"])
        except ValueError:
            found.problems.append(f"{RESULTS}: bits, seed or eps of {who(row)} is no number")
            return None
    name = f"{QUERIES}/{key}.npz"
    try:
        arrays = read_arrays(folder / name)
        identity = read_identity(arrays, name)
        check_identity(identity, name)
        if who(identity) != who(row):
            raise BadInput(f"{name} belongs to {who(identity)}")
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
    """A row's own numbers, for those that can't be made again."""
    numbers: dict[str, Any] = {name: row[name] for name in DIGESTS if row[name]}
    for name in NUMBERS:
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


def _identity(row: Row) -> dict[str, Any]:
    """What a table's row says of its cell."""
    plain = {name: row[name] for name in [*KEY, *leaderboard.PARAMETERS] if name not in ("steps", "restarts")}
    return {**plain, "bits": int(row["bits"]), "seed": int(row["seed"]), "eps": float(row["eps"]), "attack_params": {}}


def _check_agreement(found: Findings) -> None:
    """What cells of one board, and of one model, share."""
    shared: dict[tuple[str, ...], tuple[str, Any]] = {}
    for result, arrays in found.cells:
        identity = result.identity
        model = f"{identity['defense']}, seed {identity['seed']}"
        of_queries = arrays["relevant"].sum(axis=1).tolist()
        facts: list[tuple[tuple[str, ...], Any]] = [
            (("the queries' relevant items",), of_queries), (("n_database",), result.numbers["n_database"]),
            (("the model_digest", model), result.numbers.get("model_digest")),
            (("the codes_digest", model), result.numbers.get("codes_digest")),
        ]  # fmt: skip
        if "targets" in arrays:
            facts.append((("the targets", f"seed {identity['seed']}"), arrays["targets"].tolist()))
        for place, value in facts:
            first, wanted = shared.setdefault(place, (who(identity), value))
            if value != wanted:
                found.problems.append(f"{who(identity)}: {place[0]} differ from those of {first}")


def _check_tables(folder: Path, rows: list[Row], results: Sequence[Result], found: Findings) -> None:
    """Make the tables again from the cells, and compare value by value."""
    held = {result.key: arrays for result, arrays in found.cells}

    def arrays(result: Result) -> Arrays:
        return held.get(result.key, {})

    board = Leaderboard(folder.name, tuple(sorted(results, key=leaderboard.order)))
    valid = Leaderboard(folder.name, tuple(r for r in board.results if r.key in held))
    try:
        again = valid.rows(cell_intervals(valid.results, arrays))
        found.problems += _compare(RESULTS, again, [r for r in rows if r["config_digest"] in held], "config_digest")
        if len(results) < len(rows):
            return  # what is wrong in the cells is named; the other tables follow from them
        ranking = rank(board, arrays, _flags(folder))
        matrix = with_worst(board.matrix(), ranking, board.chance)
        for name, expected in ((MATRIX, matrix), (RANKING, table(ranking))):
            found.problems += _compare(name, expected, read_rows(folder / name), "defense")
    except BadInput as error:
        found.problems.append(str(error))


def _compare(name: str, expected: pd.DataFrame, given: list[Row], key: str) -> list[str]:
    """What differs between a table as it should be and as it is."""
    columns = list(expected.columns)
    if given and list(given[0]) != columns:
        odd = sorted(set(given[0]) ^ set(columns))
        return [f"{name} has other columns than its cells give: {', '.join(odd) or 'another order'}"]
    wanted = {str(row[key]): row for row in expected.astype(object).where(expected.notna(), None).to_dict("records")}
    problems = [f"{name} lacks {label}" for label in wanted if label not in {row[key] for row in given}]
    for row in given:
        if row[key] not in wanted:
            problems.append(f"{name} has {row[key]}, of which there are no cells")
            continue
        label = who(row) if "attack" in row else row[key]
        for column in columns:
            value = wanted[row[key]][column]
            if differs(row[column], value):
                shown = "empty" if value is None else value
                problems.append(f"{name}: {column} of {label} is {row[column] or 'empty'}; its cells give {shown}")
    return problems


def _flags(folder: Path) -> dict[str, list[str]]:
    """The flags of each defense over its seeds, from sanity.csv, where there is one."""
    if not (folder / SANITY).exists():
        return {}
    return flags_by_defense((row["defense"], row.get("flags", "").split()) for row in read_rows(folder / SANITY))


def boards_in(paths: Iterable[Path]) -> list[Path]:
    """The folders below some paths that hold a leaderboard or a submission, in order.

    Raises:
        BadInput: a path holds neither.
    """
    found: list[Path] = []
    for path in paths:
        inside = sorted({file.parent for name in (RESULTS, "run.json") for file in path.rglob(name)})
        if not inside:
            raise BadInput(
                f"{path} has no {RESULTS} and no run.json in it; name a leaderboard's folder or a submission"
            )
        found += [folder for folder in inside if folder not in found]
    return found
