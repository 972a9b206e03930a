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
