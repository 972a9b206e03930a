"""CSV from anyone: rectangular, bounded, with typed columns."""

from __future__ import annotations

import csv
import io
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from valid_files import COLUMNS, TABLE

from hashbench.errors import BadInput
from hashbench.readers.csv_tables import Column, read_rows, read_table, values, wrong_values


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "results.csv"
    found.write_text(TABLE)
    return found


def refusal(path: Path, text: str | bytes | None = None, columns: dict[str, Column] | None = None) -> str:
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    start = time.process_time()
    with pytest.raises(BadInput) as caught:
        read_rows(path) if columns is None else read_table(path, columns)
    assert time.process_time() - start < 5
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) < 600
    assert "results.csv" in message
    return message


def test_typed_values_are_read(path: Path) -> None:
    assert read_table(path, COLUMNS, inside=path.parent) == [
        {"defense": "cgat", "seed": 0, "map": 0.875, "difference": -0.5, "chosen": "yes", "dirty": False},
        {
            "defense": "saat:weight=1,steps=2",
            "seed": 1,
            "map": None,
            "difference": 1e-05,
            "chosen": "no",
            "dirty": True,
        },
    ]


def test_rows_are_text_as_the_csv_module_has_it(path: Path) -> None:
    table = read_rows(path, needed=["defense", "map"])
    assert list(table.rows) == list(csv.DictReader(io.StringIO(TABLE)))
    assert table.header == tuple(COLUMNS)
    assert table.lines == (2, 3)
    assert not wrong_values(table, COLUMNS)
    assert values(table, {"seed": Column(int)})[0]["map"] == "0.875"


# Python's writer leaves a carriage return unquoted where lines end in a line feed.
cells = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), max_size=10)


@given(st.lists(st.lists(cells, min_size=2, max_size=2), max_size=6))
@settings(derandomize=True, max_examples=150, deadline=None)
def test_what_csv_writes_is_read_back(tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]]) -> None:
    path = tmp_path_factory.getbasetemp() / "written.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([["a", "b"], *rows])
    assert [list(row.values()) for row in read_rows(path).rows] == rows


@pytest.mark.parametrize(
    "text",
    [
        "", "\n", "a,a\n1,2\n", "a,b\n1\n", "a,b\n1,2,3\n", "a,\n1,2\n", "a,b\n1,\0\n", "\ufeffa,b\n1,2\n",
        'a,b\n"1,2\n',
        'a,b\n"1"x,2\n', b"a,b\n\xff,2\n", "a\x1b[2J,b\n1,2\n", "a\u202e,b\n1,2\n", "\"a\nb\",c\n1,2\n",
        b"a,b\n\xed\xa0\x80,1",
        "a,b\n1,2\n\n3\n", ",".join(str(number) for number in range(1001)), "\0", b"\x1f\x8b\x08",
        "a,b\n" + "1" * 200_000,
    ],
)  # fmt: skip
def test_tables_of_a_wrong_form_are_refused(path: Path, text: str | bytes) -> None:
    refusal(path, text)


@pytest.mark.parametrize("size", [131_073, 1_000_000])
def test_long_fields_are_refused_whatever_the_limit_of_the_csv_module(path: Path, size: int) -> None:
    text = "a,b\n1," + "x" * size + "\n"
    assert "line 2" in refusal(path, text)
    before = csv.field_size_limit(10)
    try:
        assert "line 2" in refusal(path, "a,b\n1,12345678901\n")
    finally:
        csv.field_size_limit(before)


def test_sizes_and_rows_are_limited(path: Path) -> None:
    path.write_text("a\n" + "1\n" * 100)
    with pytest.raises(BadInput, match="most that is read"):
        read_rows(path, limit=100)
    with pytest.raises(BadInput, match="most that is read"):
        read_rows(path, cells=99)
    assert len(read_rows(path, cells=100).rows) == 100


def test_millions_of_rows_are_refused_soon(path: Path) -> None:
    assert "more than 200000 rows" in refusal(path, b"a\n" + b"1\n" * 3_000_000)
    assert "larger than 16 MB" in refusal(path, b"a\n" + b"1\n" * 9_000_000)


@pytest.mark.parametrize("header", [["defense"], ["seed", "defense", "map", "difference", "chosen", "dirty"], ["x"]])
def test_other_columns_are_refused(path: Path, header: list[str]) -> None:
    with pytest.raises(BadInput, match="other columns"):
        read_rows(path, header=header)
    with pytest.raises(BadInput, match="no column 'attack'"):
        read_rows(path, needed=["attack"])


@pytest.mark.parametrize(
    ("column", "bad"),
    [
        (
            Column(int),
            ["", "1.0", "1_000", "\u0661\u0662", "1e3", "0x10", "9" * 5000, " 1", "1 ", "--1", "True", "nan"],
        ),
        (
            Column(float),
            ["", "nan", "NaN", "inf", "-Infinity", "1e999", "1_0.5", "1,5", "0x1p3", " 1", "1 ", "one", "\uff11"],
        ),
        (Column(float, low=0, high=1), ["-0.1", "1.0001", "-1e-300"]),
        (Column(int, low=1, high=1024), ["0", "-5", "1025", "100000000000000000000"]),
        (Column(bool), ["", "true", "1", "yes"]),
        (Column(choices=("yes", "no")), ["", "Yes", "yes "]),
        (Column(), ["a\x1b[2J", "a\u202eb", "two\nlines", "\u2028"]),
    ],
)
def test_wrong_values_are_named_with_line_and_column(path: Path, column: Column, bad: list[str]) -> None:
    for text in bad:
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([["name", "it"], ["x", text]])
        message = refusal(path, columns={"name": Column(), "it": column})
        assert "it is '" in message
        assert ", line " in message
        assert "; give " in message


@pytest.mark.parametrize(
    ("column", "good"),
    [
        (Column(int), ["0", "-5", "+7", "00012"]),
        (Column(float), ["0", "-0.5", "1e-05", "1E5", ".5", "5.", "-0", "1" * 400 + "e-400"]),
        (Column(float, optional=True), ["", "1"]),
        (Column(plain=False), ["two\nlines", "\x1b"]),
        (Column(), ["=1+1", "", "\u00fc", "a,b", '"']),
    ],
)
def test_right_values_are_read(path: Path, column: Column, good: list[str]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["name", "it"], *(["x", text] for text in good)])
    found = read_table(path, {"name": Column(), "it": column})
    for row, text in zip(found, good, strict=True):
        assert row["it"] == (None if not text and column.optional else column.kind(text))


def test_all_wrong_values_are_listed_up_to_a_limit(path: Path) -> None:
    path.write_text("map\n" + "nan\n" * 1000)
    found = wrong_values(read_rows(path), {"map": Column(float), "absent": Column(int)})
    assert len(found) == 21
    assert "line 2: map is 'nan'; give a finite number" in found[0]
    assert "980 more" in found[-1]
