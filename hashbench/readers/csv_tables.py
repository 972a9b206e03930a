"""CSV tables from anyone: bounded, rectangular, and with columns of declared types."""

from __future__ import annotations

import csv
import io
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hashbench.errors import BadInput
from hashbench.readers.folders import MEGABYTE, read_text, shown_path
from hashbench.readers.text import NUMBER, csv_name, name_of_csv, printable, shown

LARGEST = 16 * MEGABYTE  # bytes of one file
CELLS = 2_000_000  # of one table
ROWS = 200_000
COLUMNS = 1000
DIGITS = 20  # of a whole number
TOLD = 20  # wrong values that are listed

Row = dict[str, str]
Value = str | int | float | bool | None


@dataclass(frozen=True)
class Column:
    """What a column holds.

    Args:
        kind: str, int, float or bool; numbers are finite and written in ASCII digits, booleans as True or False.
        optional: a field may be empty, whose value is None.
        low, high: the range of a number, both included.
        choices: the texts that it may hold; any by default.
        plain: whether a text must be free of control characters, line breaks and bidi controls.
    """

    kind: type[str | int | float | bool] = str
    optional: bool = False
    low: float = -math.inf
    high: float = math.inf
    choices: tuple[str, ...] = ()
    plain: bool = True

    def __str__(self) -> str:
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        words = {str: "a text without control characters", int: "a whole number", float: "a finite number"}
        word = words.get(self.kind, "True or False")
        low = f" from {self.low:.15g}" if self.low > -math.inf else ""
        high = f" up to {self.high:.15g}" if self.high < math.inf else ""
        return f"{word}{low}{high}{', or leave it empty' if self.optional else ''}"


@dataclass(frozen=True)
class Table:
    """A table as text: its header, its rows, and the line of the file where each row ends."""

    name: str
    header: tuple[str, ...]
    rows: tuple[Row, ...]
    lines: tuple[int, ...]


def read_rows(
    path: Path,
    *,
    needed: Sequence[str] = (),
    header: Sequence[str] | None = None,
    limit: int = LARGEST,
    cells: int = CELLS,
    inside: Path | None = None,
) -> Table:
    """A table whose form is right, its values as text; `wrong_values` and `values` judge them.

    Args:
        needed: columns that it must have.
        header: all of its columns in their order; any by default.
        limit: bytes of the file.
        cells: rows times columns; rows are ROWS at most.
        inside: the foreign folder that the file belongs to, as of `open_regular`.

    Raises:
        BadInput: the file can't be read, is too large or no CSV in UTF-8, lacks a header or a column, has a column
            twice or without a name, or a row that is longer or shorter than the header.
    """
    name = shown_path(path)
    reader = csv.reader(io.StringIO(read_text(path, limit, inside), newline=""), strict=True)
    try:
        head = tuple(next(reader, ()))
        _check_header(head, needed, header, name)
        found = list(_rows(reader, head, cells, name))
    except csv.Error as error:
        raise BadInput(f"{name}, line {reader.line_num} is not CSV ({error}); write the table again") from None
    return Table(name, head, tuple(row for row, _ in found), tuple(line for _, line in found))


def with_names(table: Table) -> Table:
    """The table with its names as they are, where `text.csv_name` has put an apostrophe before them.

    Raises:
        BadInput: a cell would be taken for a formula by a spreadsheet.
    """
    for row, line in zip(({name: name for name in table.header}, *table.rows), (1, *table.lines), strict=True):
        for name, cell in row.items():
            if csv_name(cell) != cell and csv_name(name_of_csv(cell)) != cell:
                raise BadInput(
                    f"{table.name}, line {line}: {shown(name)} is {shown(cell)}, which a spreadsheet takes for a "
                    "formula; write an apostrophe before it"
                )
    rows = tuple({name_of_csv(name): name_of_csv(cell) for name, cell in row.items()} for row in table.rows)
    return replace(table, header=tuple(map(name_of_csv, table.header)), rows=rows)


def read_table(
    path: Path,
    columns: Mapping[str, Column],
    *,
    limit: int = LARGEST,
    cells: int = CELLS,
    inside: Path | None = None,
) -> list[dict[str, Value]]:
    """The rows of a table that has exactly the declared columns in their order, with values of their types.

    Raises:
        BadInput: as of `read_rows`, or a value is of another type or out of its range; the first is named.
    """
    table = read_rows(path, header=tuple(columns), limit=limit, cells=cells, inside=inside)
    if wrong := wrong_values(table, columns):
        raise BadInput(wrong[0])
    return values(table, columns)


def wrong_values(table: Table, columns: Mapping[str, Column]) -> list[str]:
    """A line for each value that is not of its column's type or range, TOLD at most, and one for how many more.

    Columns that are not declared, or that the table lacks, are not looked at.
    """
    present = {name: column for name, column in columns.items() if name in table.header}
    wrong = []
    for row, line in zip(table.rows, table.lines, strict=True):
        for name, column in present.items():
            if not _fits(row[name], column):
                wrong.append(f"{table.name}, line {line}: {name} is {shown(row[name])}; give {column}")
    more = [f"{table.name} has {len(wrong) - TOLD} more wrong values"] if len(wrong) > TOLD else []
    return wrong[:TOLD] + more


def values(table: Table, columns: Mapping[str, Column]) -> list[dict[str, Value]]:
    """The rows with the values of declared columns in their types, the others as text.

    Raises:
        BadInput: a value does not fit; ask `wrong_values` before.
    """
    return [
        {name: _value(text, columns[name], table.name) if name in columns else text for name, text in row.items()}
        for row in table.rows
    ]


def _check_header(head: tuple[str, ...], needed: Sequence[str], wanted: Sequence[str] | None, name: str) -> None:
    if not head:
        raise BadInput(f"{name} is empty; a table starts with the names of its columns")
    if len(head) > COLUMNS:
        raise BadInput(f"{name} has {len(head)} columns; {COLUMNS} is the most that is read")
    for column, times in Counter(head).items():
        if times > 1:
            raise BadInput(f"{name} has the column {shown(column)} {times} times; keep one of them")
        if not column or printable(column) != column:
            raise BadInput(f"{name} has a column called {shown(column)}; give each a plain name")
    if missing := [column for column in needed if column not in head]:
        raise BadInput(f"{name} has no column {missing[0]!r}; write the table again")
    if wanted is not None and head != tuple(wanted):
        odd = sorted(set(head) ^ set(wanted))
        differs = shown(", ".join(odd)) if odd else "another order"
        raise BadInput(f"{name} has other columns than {', '.join(wanted)} (differing: {differs}); write it again")


def _rows(reader: Iterator[list[str]], head: tuple[str, ...], cells: int, name: str) -> Iterator[tuple[Row, int]]:
    most = min(ROWS, cells // len(head))
    count = 0
    for fields in reader:
        line: int = reader.line_num  # type: ignore[attr-defined]
        if not fields:
            continue  # an empty line
        count += 1
        if count > most:
            raise BadInput(f"{name} has more than {most} rows of {len(head)} columns, the most that is read")
        if len(fields) != len(head):
            raise BadInput(f"{name}, line {line} has {len(fields)} values for {len(head)} columns; write it again")
        yield dict(zip(head, fields, strict=True)), line


def _fits(text: str, column: Column) -> bool:
    if not text and column.optional:
        return True
    if column.choices:
        return text in column.choices
    if column.kind is str:
        return not column.plain or printable(text, len(text)) == text
    if column.kind is bool:
        return text in ("True", "False")
    if not NUMBER.fullmatch(text):
        return False
    if column.kind is int:
        return text.lstrip("+-").isdigit() and len(text) <= DIGITS and column.low <= int(text) <= column.high
    return math.isfinite(float(text)) and column.low <= float(text) <= column.high


def _value(text: str, column: Column, name: str) -> Value:
    if not _fits(text, column):
        raise BadInput(f"{name} has {shown(text)}; give {column}")
    if not text and column.optional:
        return None
    if column.kind is bool:
        return text == "True"
    return column.kind(text)
