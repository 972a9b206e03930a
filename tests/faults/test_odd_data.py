"""Data, budgets and weights at the edges: each ends with a right result or with one line."""

from __future__ import annotations

from pathlib import Path

import pytest
from command import Command, rows

pytestmark = pytest.mark.usefixtures("registries")
PLUGIN = Path(__file__).with_name("odd_entries.py")
ATTACKS = ("--attack", "noise", "--attack", "pgd-hamming:steps=2,restarts=1")
WORDS = ("run", "--plugin", PLUGIN, "--training", "epochs=1", *ATTACKS)
CGAT = ("--defense", "cgat:epochs=1,steps=1")
NUMBERS = ["map", "map_low", "map_high", "chance_map"]


@pytest.mark.parametrize("kind", ["one class", "one item", "one query"])
def test_the_smallest_sets_give_numbers(command: Command, kind: str) -> None:
    outcome = command(*WORDS, *CGAT, "--dataset", f"odd:kind={kind}")
    assert (outcome.code, outcome.err) == (0, "")
    table = rows()
    assert (table.status == "valid").all()
    assert table[NUMBERS].notna().all().all()
    assert table["map"].between(0, 1).all()
    if kind == "one class":  # everything is relevant
        assert (table[NUMBERS] == 1).all().all()


def test_queries_without_a_relevant_item_are_no_numbers(command: Command) -> None:
    outcome = command(*WORDS, "--dataset", "odd:kind=none relevant")
    assert (outcome.code, outcome.err) == (0, "")
    assert (rows().status == "invalid").all()
    assert rows().reason.str.startswith("no query shares a label with any database item; check the labels").all()


def test_images_that_are_not_square_are_refused(command: Command) -> None:
    outcome = command(*WORDS, "--dataset", "odd:kind=not square")
    assert outcome.code == 2
    assert outcome.err == "error: images of a data set have 1x8x12 values; make all of them squares of one size\n"


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_weights_that_are_no_numbers_end_their_row(command: Command, value: str) -> None:
    outcome = command(*WORDS, "--dataset", "odd", "--defense", f"odd-weights:value={value}")
    assert (outcome.code, outcome.err) == (0, "")
    table = rows().groupby("defense").status.unique().map(list)
    assert table["none"] == ["valid"]
    assert table[f"odd-weights:value={value}"] == ["invalid"]


def test_one_bit_is_enough(command: Command) -> None:
    outcome = command(*WORDS, *CGAT, "--dataset", "odd", "--bits", "1")
    assert (outcome.code, outcome.err) == (0, "")
    assert (rows().status == "valid").all()


@pytest.mark.parametrize("eps", ["0", "1"])
def test_the_smallest_and_the_largest_budget(command: Command, eps: str) -> None:
    outcome = command(*WORDS, *CGAT, "--dataset", "odd", "--eps", eps)
    assert (outcome.code, outcome.err) == (0, "")
    table = rows()
    assert (table.status == "valid").all()
    assert (table.linf_max <= float(eps)).all()
    if eps == "0":
        assert (table["map"] == table.map_clean).all()
