"""Foreign text in a terminal, in rich markup and in a spreadsheet's cells."""

from __future__ import annotations

import io
import sys
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from hashbench.readers.text import csv_name, name_of_csv, printable, shown, without_markup

anything = st.text(st.characters(exclude_categories=[]), max_size=300)


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("pgd-hamming:steps=10", "pgd-hamming:steps=10"),
        ("Müller, 数字, é", "Müller, 数字, é"),
        ("a\nvalid: b", "a\\x0avalid: b"),
        ("\r\x1b[2J\x9b1A\x07\0", "\\x0d\\x1b[2J\\x9b1A\\x07\\x00"),
        ("\u202eevil\u2066\u200e\u061c", "\\u202eevil\\u2066\\u200e\\u061c"),
        ("\u2028\u2029\ufeff\u200b", "\\u2028\\u2029\\ufeff\\u200b"),
        ("\ud800", "\\ud800"),
        ("\U000e0041", "\\U000e0041"),  # an invisible tag
    ],
)
def test_what_moves_cursors_or_is_invisible_is_escaped(text: str, safe: str) -> None:
    assert printable(text) == safe


@given(anything, st.integers(40, 200))
@settings(derandomize=True, max_examples=200, deadline=None)
def test_printable_text_is_printable_short_and_stays_as_it_is(text: str, limit: int) -> None:
    safe = printable(text, limit)
    assert len(safe) <= limit
    assert not {unicodedata.category(character)[0] for character in safe} & {"C"}
    safe.encode("utf-8")
    assert len(safe.splitlines()) <= 1
    assert printable(safe, limit) == safe


def test_a_very_long_text_is_cut_and_says_so() -> None:
    assert printable("x" * 10**7, 40).endswith("... (10000000 characters)")
    assert len(printable("\x1b" * 100, 60)) <= 60


def test_values_are_shown_short_whatever_they_are() -> None:
    deep: list[object] = []
    for _ in range(sys.getrecursionlimit() * 3):
        deep = [deep]
    values = (10**100_000, -(10**6000), deep, {"a": deep}, "\n" * 10**6, None, True, 0.5, b"x", object(), float("nan"))
    for value in values:
        assert len(shown(value)) < 120
        assert shown(value).isprintable()
    assert shown(-5) == "-5"
    assert shown("a\n") == "'a\\x0a'"


@given(anything)
@settings(derandomize=True, max_examples=100, deadline=None)
def test_rich_prints_markup_as_it_stands(text: str) -> None:
    out = io.StringIO()
    Console(file=out, width=100_000, emoji=False, highlight=False, color_system=None).print(
        f"[b]{without_markup(text)}[/b]"
    )
    assert out.getvalue() == printable(text) + "\n"


@pytest.mark.parametrize("text", ["[bold]a[/bold]", "[/]", "[link=http://a]b", "a\\[red]", "[red]\\", "\\\\[b]"])
def test_tags_are_no_tags(text: str) -> None:
    out = io.StringIO()
    Console(file=out, width=1000, emoji=False, highlight=False, color_system=None).print(
        f"[b]{without_markup(text)}[/b]"
    )
    assert out.getvalue() == text + "\n"


@pytest.mark.parametrize(
    "name",
    [
        "=1+1",
        "+cmd|' /C calc'!A0",
        "-2+3",
        "@SUM(1)",
        "\t=1",
        "\r=1",
        " =1",
        "\uff1d1",
        "\uff0b1",
        "'=1",
        "-inf",
        "--1",
    ],
)
def test_no_name_is_a_formula(name: str) -> None:
    cell = csv_name(name)
    assert cell == f"'{name}"
    assert name_of_csv(cell) == name


@pytest.mark.parametrize(
    "text", ["-0.5", "+1", "1e-05", "-1e-05", "0", "", "cgat", "pgd:a=-1", "none", "a=b", "'a", "8/255"]
)
def test_numbers_and_plain_names_stay_byte_for_byte(text: str) -> None:
    assert csv_name(text) == text
    assert name_of_csv(text) == text


@given(st.text(st.sampled_from("'=+-@\t\n\r a1.\uff1d"), max_size=6))
@settings(derandomize=True, max_examples=300, deadline=None)
def test_every_name_comes_back_from_its_cell(name: str) -> None:
    assert name_of_csv(csv_name(name)) == name
