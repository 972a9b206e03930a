"""Comparisons of toy stores: numbers, refusals, files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from toy_results import LEVELS, save

from hashbench.boards.compare import WORST, compare
from hashbench.boards.pairing import pair
from hashbench.boards.write import write_comparison
from hashbench.errors import UsageError
from hashbench.running.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "store")
    for defense, gain in (("none", -0.1), ("cgat", 0.0), ("mine", 0.1)):
        for attack, level in LEVELS.items():
            for seed in (0, 1):
                save(made, defense, attack, level + gain, seed)
    return made


def test_says_which_is_better_with_what_stands_beside_it(store: Store, tmp_path: Path) -> None:
    found = compare(store, pair(store.cells(), ("mine", "cgat")))
    assert [row.attack for row in found.rows] == ["hag", "pgd-hamming", WORST]
    assert all(row.told_apart and row.queries == 39 for row in found.rows)
    assert found.rows[0].difference == pytest.approx(0.1, abs=0.01)
    assert list(found.cost) == [4, 4]
    assert found.sentence.startswith("mine is better than cgat: in the worst case")
    written = write_comparison(found, tmp_path)
    assert [path.name for path in written] == [f"compare-mine-vs-cgat{end}" for end in (".csv", ".png", "-queries.png")]
    first = {path.name: path.read_bytes() for path in written[0].parent.iterdir()}
    assert {path.suffix for path in written[0].parent.iterdir()} == {".csv", ".png", ".svg"}
    write_comparison(found, tmp_path)
    assert {path.name: path.read_bytes() for path in written[0].parent.iterdir()} == first


def test_the_queries_of_the_picture_are_those_of_the_worst_case(store: Store) -> None:
    found = compare(store, pair(store.cells(), ("mine", "cgat")))
    assert [len(values) for values in found.queries] == [39, 39]
    assert [values.mean() for values in found.queries] == pytest.approx([found.rows[-1].first, found.rows[-1].second])


def test_equal_defenses_are_not_told_apart(store: Store) -> None:
    for attack, level in LEVELS.items():
        save(store, "same", attack, level)
    found = compare(store, pair(store.cells(), ("same", "cgat")))
    assert "can't be told apart" in found.sentence
    assert "one seed" in found.sentence


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("split_digest", "e" * 16, "queries"),
        ("eps", 0.1, "eps"),
        ("dataset", "other", "data set"),
        ("bits", 16, "bits"),
    ],
)
def test_refuses_what_was_measured_otherwise(store: Store, name: str, value: Any, reason: str) -> None:
    for attack in LEVELS:
        save(store, "other", attack, 0.5, **{name: value})
    with pytest.raises(UsageError, match=f"can't be compared: different {reason} "):
        pair(store.cells(), ("other", "cgat"))


def test_names_the_command_for_a_missing_cell(store: Store) -> None:
    with pytest.raises(UsageError, match=r"hashbench run .*--seed 7 --defense mine"):
        pair(store.cells(), ("mine", "cgat"), seed=(7,))


def test_a_plain_name_stands_for_its_one_tuned_label(store: Store) -> None:
    for attack in LEVELS:
        save(store, "saat:epochs=2", attack, 0.5, tuned="t" * 16)
    assert pair(store.cells(), ("saat", "cgat")).defenses == ("saat:epochs=2", "cgat")
