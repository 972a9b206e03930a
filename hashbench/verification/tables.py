"""Tables as they should be against tables as they are, value by value."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from hashbench.boards import leaderboard
from hashbench.boards.files import Row, read_table
from hashbench.boards.leaderboard import KEY
from hashbench.boards.query_files import HOST_TABLE, RANKING_VERSION
from hashbench.errors import BadInput
from hashbench.readers.board_columns import declared
from hashbench.readers.csv_tables import wrong_values
from hashbench.verification.cell import differs
from hashbench.verification.findings import Findings

Label = Callable[[Mapping[str, Any]], str]
ENDING = 3  # the version of the ranking since which intervals of mAPs end at 0 and 1
NUMBERED = ("bits", "seed", "schema_version", "protocol_version")


def by_column(name: str) -> Label:
    """Name rows by what stands in a column."""
    return lambda row: str(row[name])


def of_model(row: Mapping[str, Any]) -> str:
    """Name rows of sanity.csv by their model."""
    return f"{row['defense']}, seed {row['seed']}"


def of_budget(row: Mapping[str, Any]) -> str:
    """Name rows of curve.csv by their model and budget."""
    return f"{of_model(row)}, eps {float(row['eps']):.6f}"


def check_table(path: Path, expected: pd.DataFrame, label: Label, version: int = RANKING_VERSION) -> list[str]:
    """What differs between a table of a folder and what its evidence gives.

    Args:
        version: of the ranking that the folder was written with.
    """
    try:
        table = read_table(path)
    except BadInput as error:
        return [str(error)]
    columns = declared(path.stem, table.header) if path.stem in ("sanity", "curve") else {}
    wrong = wrong_values(table, columns)
    return wrong or compare(path.name, expected, ended(table.rows, version), table.header, label)


def ended(rows: Iterable[Row], version: int) -> list[Row]:
    """The rows of a table with intervals of mAPs that end at 0 and 1, as those of older boards do not.

    Args:
        version: of the ranking that the table was written with.
    """
    return list(rows) if version >= ENDING else [{name: _ended(name, text) for name, text in r.items()} for r in rows]


def _ended(name: str, text: str) -> str:
    if not name.endswith(("ci_low", "ci_high")) or name.startswith("delta"):
        return text
    try:
        value = float(text)
    except ValueError:
        return text
    return "0" if value < 0 else "1" if value > 1 else text


def compare(
    name: str,
    expected: pd.DataFrame,
    given: list[Row],
    header: tuple[str, ...],
    label: Label,
    told: Label | None = None,
) -> list[str]:
    """What differs between rows as they should be and as they are.

    Args:
        label: names a row; of both tables.
        told: names a row in messages, where that is another name.
    """
    columns = list(expected.columns)
    if list(header) != columns:
        odd = sorted(set(header) ^ set(columns))
        return [f"{name} has other columns than its cells give: {', '.join(odd) or 'another order'}"]
    rows: list[Any] = expected.astype(object).where(expected.notna(), None).to_dict("records")
    wanted = {label(row): row for row in rows}
    labels = [label(row) for row in given]
    there = set(labels)
    problems = [f"{name} lacks {missing}" for missing in wanted if missing not in there]
    problems += [f"{name} has {one} twice" for one, count in sorted(Counter(labels).items()) if count > 1]
    if not problems and [one for one in labels if one in wanted] != list(wanted):
        problems.append(f"{name} has its rows in another order than its cells give")
    for row, own in zip(given, labels, strict=True):
        if own not in wanted:
            problems.append(f"{name} has {own}, of which there are no cells")
            continue
        for column in columns:
            value = wanted[own][column]
            if differs(row[column], value):
                shown = "empty" if value is None else value
                whose = told(row) if told else own
                problems.append(f"{name}: {column} of {whose} is {row[column] or 'empty'}; its cells give {shown}")
    return problems


def check_provenance(folder: Path, rows: list[Row], found: Findings) -> None:
    """Whether provenance.csv fits results.csv and itself; what it says of times and machines can't be checked."""
    try:
        table = read_table(folder / HOST_TABLE)
    except BadInput as error:
        found.problems.append(str(error))
        return
    wanted = ["defense", "attack", "attacker", "seed", "config_digest"]
    known = [*wanted, *leaderboard.HOST]  # older versions wrote fewer
    needed = {*wanted, "attack_seconds", "code_dirty"}
    if [name for name in known if name in table.header] != list(table.header) or not needed <= set(table.header):
        found.problems.append(f"{HOST_TABLE} has other columns than 'hashbench run' writes: {', '.join(known)}")
        return
    found.problems += wrong_values(table, declared("provenance", table.header))
    if [[host[name] for name in wanted] for host in table.rows] != [[row[name] for name in wanted] for row in rows]:
        found.problems.append(f"{HOST_TABLE} does not have the same cells as results.csv, in its order")
    for row, host in zip(rows, table.rows, strict=False):
        if row["status"] == "valid" and not host["attack_seconds"]:
            found.problems.append(f"{HOST_TABLE}: attack_seconds of {row['defense']} under {row['attack']} is empty")
    dirty = sum(host["code_dirty"] == "True" for host in table.rows)
    if dirty:
        found.warnings.append(f"{dirty} of {len(table.rows)} cells were made from a dirty working tree")


def identity_of(row: Row) -> dict[str, Any]:
    """What a table's row says of its cell.

    Raises:
        BadInput: a number of it is none.
    """
    plain: dict[str, Any] = {name: row[name] for name in [*KEY, *leaderboard.PARAMETERS]}
    try:
        numbers = {name: int(row[name]) for name in NUMBERED}
        return {**plain, **numbers, "eps": float(row["eps"]), "attack_params": {}}
    except ValueError:
        raise BadInput("bits, seed or eps is no number") from None
