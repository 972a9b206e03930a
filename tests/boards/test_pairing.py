"""Which cells may be compared, what of them counts, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from command import registries_restored, write_plugin

from hashbench.boards.compare import WORST, compare
from hashbench.boards.pairing import pair
from hashbench.cli.main import cli
from hashbench.errors import UsageError
from hashbench.registry.entries import load_plugin
from hashbench.running.commands import plugin_files
from hashbench.running.store import Result, Store

IDENTITY = {
    "dataset": "digits", "split_digest": "d" * 16, "backbone": "cnn", "method": "csq", "training": "clean", "bits": 32,
    "norm": "linf", "eps": 8 / 255, "index": "reindexed", "goal": "untargeted", "tuned": "", "attacker": "adaptive",
    "schema_version": 1, "protocol_version": 1,
}  # fmt: skip
HIGH, LOW = [0.9, 0.8, 0.7, 0.9], [0.3, 0.2, 0.4, 0.3]


def save(store: Store, defense: str, attack: str, values: list[float], **changes: Any) -> None:
    """A cell whose queries have these APs, those of the targets for a targeted attack."""
    identity = {**IDENTITY, "defense": defense, "attack": attack, "seed": 0, **changes}
    name = "target_average_precision" if identity["goal"] == "targeted" else "average_precision"
    arrays = {name: np.array(values * 10)}
    key = "-".join([defense, attack, *map(str, changes.values())]).replace(":", "_").replace("/", "_")
    store.save_cell(Result(key, identity, {"map": float(np.mean(values))}, {"created_utc": "now"}), arrays)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "store")
    for defense in ("none", "cgat", "mine"):
        save(made, defense, "none", HIGH)
    return made


def test_the_worst_case_is_taken_query_by_query(store: Store) -> None:
    """Each attack alone leaves a mean of 0.5, the lower of both by query 0.2 for one defense and 0.4 for the other."""
    save(store, "mine", "hag", [0.4, 0.6, 0.4, 0.6])
    save(store, "mine", "sdha", [0.4, 0.6, 0.4, 0.6])
    save(store, "cgat", "hag", [0.2, 0.8, 0.2, 0.8])
    save(store, "cgat", "sdha", [0.8, 0.2, 0.8, 0.2])
    rows = {row.attack: row for row in compare(store, pair(store.cells(), ("mine", "cgat"))).rows}
    assert [rows["hag"].difference, rows[WORST].difference] == pytest.approx([0, 0.3])
    assert [rows[WORST].first, rows[WORST].second] == pytest.approx([0.5, 0.2])


def test_a_lower_t_map_is_in_favour_and_no_part_of_the_worst_case(store: Store) -> None:
    for attack in ("hag", "sdha"):
        save(store, "mine", attack, [0.5, 0.6, 0.5, 0.6])
        save(store, "cgat", attack, [0.5, 0.6, 0.6, 0.5])
    save(store, "mine", "dhta", LOW, goal="targeted")
    save(store, "cgat", "dhta", HIGH, goal="targeted")
    found = compare(store, pair(store.cells(), ("mine", "cgat")))
    rows = {row.attack: row for row in found.rows}
    assert (rows["dhta"].measure, rows["dhta"].told_apart) == ("t_map", True)
    assert rows["dhta"].difference == pytest.approx(0.525)
    assert [rows["dhta"].first, rows["dhta"].second] == pytest.approx([0.3, 0.825])
    assert rows[WORST].first == pytest.approx(0.55)
    alone = compare(store, pair(store.cells(), ("mine", "cgat"), ("dhta",)))
    assert alone.sentence.startswith("mine is better than cgat: under dhta t-MAP, where less is better, -52.5 points")


def test_an_oblivious_attacker_does_not_count(store: Store) -> None:
    save(store, "mine", "hag", HIGH)
    save(store, "cgat", "hag", LOW)
    save(store, "mine", "hag", [0.0] * 4, attacker="oblivious")
    (row,) = compare(store, pair(store.cells(), ("mine", "cgat"))).rows
    assert row.difference == pytest.approx(0.525)


def test_an_invalid_cell_is_refused_with_its_reason(store: Store) -> None:
    save(store, "cgat", "hag", LOW)
    identity = {**IDENTITY, "defense": "mine", "attack": "hag", "seed": 0}
    store.save_cell(Result("bad", identity, {}, {"created_utc": "now"}, "invalid", "linf 0.2 is above eps"), {})
    with pytest.raises(UsageError, match=r"mine under hag, seed 0 is invalid: linf 0\.2 is above eps"):
        pair(store.cells(), ("mine", "cgat"))


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("norm", "l2", "norm"),
        ("method", "hashnet", "method"),
        ("backbone", "resnet20", "backbone"),
        ("training", "clean:epochs=3", "training"),
        ("index", "frozen", "index"),
        ("protocol_version", 2, "protocol version"),
        ("schema_version", 2, "schema version"),
    ],
)
def test_refuses_what_differs(store: Store, name: str, value: Any, reason: str) -> None:
    save(store, "other", "none", HIGH, **{name: value})
    save(store, "other", "hag", HIGH, **{name: value})
    with pytest.raises(UsageError, match=f"different {reason} "):
        pair(store.cells(), ("other", "cgat"))


def test_different_queries_behind_one_digest_are_refused(store: Store) -> None:
    save(store, "mine", "hag", HIGH)
    save(store, "cgat", "hag", [*LOW, 0.5])
    with pytest.raises(UsageError, match="different queries under hag"):
        compare(store, pair(store.cells(), ("mine", "cgat")))


def test_a_name_is_read_among_the_cells_that_fit_the_options(store: Store) -> None:
    """A plain label of another data set does not hide the tuned label of this one."""
    for defense in ("saat", "mine"):
        save(store, defense, "none", HIGH, dataset="other")
    for attack in ("none", "hag"):
        save(store, "saat:epochs=2", attack, HIGH, tuned="t" * 16)
        save(store, "mine", attack, HIGH)
    found = pair(store.cells(), ("saat", "mine"), dataset="digits")
    assert found.defenses == ("saat:epochs=2", "mine")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["cgat", "cgat"], "both defenses are 'cgat'"),
        (["cgat", "mine"], "no attack in common"),
        (["cgat", "saat"], "the store has no cells of 'saat'"),
        (["cgat", "nosuch"], "nosuch"),
        (["cgat", "mine", "--attack", "nosuch"], "nosuch"),
        (["cgat", "mine", "--attack", "hag"], "the store lacks cgat under hag, seed 0"),
    ],
)
def test_the_command_says_what_it_can_not_compare(store: Store, tmp_path: Path, words: list[str], reason: str) -> None:
    asked = ["compare", *words, "--store", str(store.root), "--out", str(tmp_path / "out")]
    found = CliRunner().invoke(cli, asked)
    assert isinstance(found.exception, UsageError)
    assert reason in str(found.exception)
    assert not list((tmp_path / "out").glob("**/*.csv"))


def test_the_command_writes_a_table_a_picture_and_a_sentence(store: Store, tmp_path: Path) -> None:
    save(store, "mine", "hag", HIGH)
    save(store, "cgat", "hag", LOW)
    asked = ["compare", "mine", "cgat", "--store", str(store.root), "--out", str(tmp_path / "out")]
    found = CliRunner().invoke(cli, asked)
    assert found.exit_code == 0, found.output
    assert "mine is better than cgat: under hag" in " ".join(found.output.split())
    rows = [" ".join(line.replace("│", " ").split()) for line in found.output.splitlines()]
    assert any(row.startswith("hag ") and " +" in row for row in rows), found.output
    written = sorted(path.name for path in (tmp_path / "out").glob("*/compare-*"))
    pictures = [f"compare-mine-vs-cgat{kind}.{form}" for kind in ("", "-queries") for form in ("png", "svg")]
    assert written == sorted(["compare-mine-vs-cgat.csv", *pictures])


def test_the_command_reads_the_parameters_of_a_plugin(store: Store, tmp_path: Path) -> None:
    save(store, "mine", "own", HIGH)
    save(store, "cgat", "own", LOW)
    plugin = write_plugin(tmp_path, "own", "return queries.images")
    plugin.write_text(plugin.read_text().replace("threat: Threat)", "threat: Threat, *, steps: int = 3)"))
    asked = ["compare", "mine", "cgat", "--attack", "own:steps=3", "--store", str(store.root)]
    assert "own" in str(CliRunner().invoke(cli, asked).exception)
    with registries_restored():
        found = CliRunner().invoke(cli, [*asked, "--plugin", str(plugin), "--out", str(tmp_path / "out")])
    assert "mine is better than cgat: under own" in " ".join(found.output.split())


def test_suggested_commands_name_the_plugins_that_they_need(store: Store, tmp_path: Path) -> None:
    command = "hashbench run --plugin mine.py --plugin 'a b.py' --defense mine"
    for attack in ("none", "pgd-hamming"):
        key, identity = f"{attack}-1", {**IDENTITY, "defense": "mine", "attack": attack, "seed": 0}
        result = Result(key, {**identity, "versions": {"defense": "1+abc"}}, {"map": 0.5}, {"created_utc": "now"})
        store.save_cell(replace(result, host={**result.host, "command": command}), {})
    with pytest.raises(UsageError, match=r"lacks mine under hag, seed 0.* --plugin mine\.py --plugin 'a b\.py' --seed"):
        pair(store.cells(), ("mine", "cgat"), ("hag",))
    with pytest.raises(UsageError, match="the store has no cells of 'atrdh'") as caught:
        pair(store.cells(), ("cgat", "atrdh"))
    assert "--plugin" not in str(caught.value)
    plugin = write_plugin(tmp_path, "own", "return queries.images")
    with registries_restored():
        load_plugin(plugin)
        with pytest.raises(UsageError, match=f"lacks mine under own, seed 0.* --plugin {plugin} "):
            pair(store.cells(), ("mine", "cgat"), ("own",))


def test_the_undefended_model_has_the_name_of_tables_for_people_and_either_may_be_asked_for(store: Store) -> None:
    save(store, "mine", "sdha", HIGH)
    save(store, "none", "sdha", LOW)
    found = compare(store, pair(store.cells(), ("mine", "undefended"), ("sdha",)))
    assert found.pairing.defenses == ("mine", "none")
    assert found.table()["defense_b"].unique().tolist() == ["none"]
    assert " undefended" in found.sentence
    with pytest.raises(UsageError, match="the store lacks undefended under hag, seed 0; make it with"):
        pair(store.cells(), ("none", "mine"), ("hag",))


def test_a_damaged_command_names_no_plugin() -> None:
    assert plugin_files([({"attack": "1+f"}, "run --plugin 'a"), ({"attack": "1+f"}, "run --plugin=b.py")]) == ["b.py"]


def test_a_defense_without_cells_is_named_with_the_command_that_makes_some(store: Store) -> None:
    with pytest.raises(
        UsageError, match="the store has no cells of 'atrdh'; make some, for example with 'hashbench run"
    ):
        pair(store.cells(), ("cgat", "atrdh"))
