"""With --json a command prints one JSON document, and nothing else, on standard output."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import QUICK, Command

from hashbench.registry import entries
from hashbench.running import suite

pytestmark = pytest.mark.usefixtures("registries")
SHORT = ("cgat:epochs=1,steps=1", "pgd-hamming:steps=1,restarts=1")


def document(text: str) -> Any:
    def refuse(word: str) -> None:
        pytest.fail(f"{word} is no JSON")

    return json.loads(text, parse_constant=refuse)


def test_list_has_every_entry_and_suite(command: Command) -> None:
    found = document(command("list", "--json").out)
    assert list(found) == ["attacks", "defenses", "methods", "backbones", "datasets", "suites", "corruptions"]
    assert [one["name"] for one in found["attacks"]] == [entry.name for entry in entries.attacks]
    assert [one["name"] for one in found["suites"]] == suite.names()
    (steps,) = (
        one
        for entry in found["attacks"]
        if entry["name"] == "pgd-hamming"
        for one in entry["parameters"]
        if one["name"] == "steps"
    )
    assert steps == {"name": "steps", "type": "int", "default": 20, "values": "at least 1"}
    assert list(document(command("list", "suites", "--json").out)) == ["suites"]
    (noise, *_) = document(command("list", "corruptions", "--json").out)["corruptions"]
    assert (noise["name"], noise["levels"]) == ("noise", [0.04, 0.08, 0.12, 0.18, 0.26])


def test_list_suites_says_what_each_runs(command: Command) -> None:
    said = command("list", "suites").out
    for name in suite.names():
        assert f"  {name:<16} {suite.read_suite(name).title}" in said
    assert "data sets: flickr25k, nuswide, coco" in said


def test_check_has_each_rule(command: Command) -> None:
    outcome = command("check", "noise", "--json")
    found = document(outcome.out)
    assert (outcome.code, found["passed"]) == (0, True)
    (one,) = found["checked"]
    assert (one["kind"], one["name"], one["passed"]) == ("attack", "noise", True)
    assert {rule["passed"] for rule in one["rules"]} <= {True, None}


def test_a_failed_check_ends_with_code_1_and_a_whole_document(command: Command, tmp_path: Path) -> None:
    (tmp_path / "far.py").write_text(
        "import hashbench\n@hashbench.attack('far')\ndef far(victim, threat):\n"
        "    '''Leave the budget.'''\n    return lambda queries: 1 - queries.images\n"
    )
    outcome = command("check", "far.py", "--json")
    found = document(outcome.out)
    assert (outcome.code, found["passed"]) == (1, False)
    assert any(rule["passed"] is False and "budget" in rule["reason"] for rule in found["checked"][0]["rules"])


def test_data_has_numbers_by_name(command: Command) -> None:
    found = document(command("data", "digits", "--json").out)
    roles = {one["role"]: one for one in found["facts"] if one["about"] == "role"}
    assert (roles["database"]["images"], roles["queries"]["classes"]) == (1297, 10)
    (chance,) = (one for one in found["facts"] if one["about"] == "chance")
    assert chance["chance_map"] == pytest.approx(0.104, abs=1e-3)


def test_score_has_numbers_and_null_where_there_is_none(command: Command) -> None:
    labels = np.array([[1, 0], [0, 0]])
    np.savez("codes.npz", query_codes=[[1, 1], [1, -1]], query_labels=labels, database_codes=[[1, 1]],
             database_labels=[[1, 0]])  # fmt: skip
    assert document(command("score", "codes.npz", "--json").out) == {
        "map": 1.0, "map_low": 1.0, "map_high": 1.0, "chance_map": 1.0, "n_without_relevant": 1,
    }  # fmt: skip
    assert document(command("score", "codes.npz", "--json", "--queries").out)["average_precision"] == [1.0, None]


@pytest.mark.usefixtures("undrawn")
def test_compare_and_verify_after_a_run(command: Command) -> None:
    defense, attack = SHORT
    assert command("run", *QUICK, "--defense", defense, "--attack", attack).code == 0
    compared = command("compare", defense, "none", "--attack", attack, "--json")
    found = document(compared.out)
    (row,) = found["rows"]
    assert row["difference"] == pytest.approx(row["first"] - row["second"])
    assert row["low"] <= row["difference"] <= row["high"]
    assert all(Path(path).is_file() for path in found["written"])
    assert found["conclusion"].endswith(".")
    again = ("compare", defense, "none", "--attack", attack, "--json", "--training")
    for training in ("epochs=1", "clean:epochs=1"):
        assert document(command(*again, training).out)["rows"] == found["rows"]
    assert "has no cells of" in command(*again, "clean").err
    outcome = command("verify", "leaderboards", "--json")
    verified = document(outcome.out)
    assert (outcome.code, verified["verified"]) == (0, True)
    (place,) = verified["places"]
    assert (place["cells"], place["problems"]) == (4, [])
    table = next(Path("leaderboards").glob("*/matrix.csv"))
    table.write_text(table.read_text().replace("none", "nine"))
    refused = command("verify", "leaderboards", "--json")
    assert refused.code == 1
    assert "matrix.csv" in " ".join(document(refused.out)["places"][0]["problems"])


def test_an_error_is_one_line_and_no_document(command: Command) -> None:
    outcome = command("data", "mnist", "--json")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err == "error: no data set is named 'mnist'; did you mean 'fashion-mnist'?\n"
