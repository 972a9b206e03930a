"""What the command line prints and reads: lines of check, JSON documents, formats, grids, entries and suites."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest
from command import Command

from hashbench.cli import check as check_module
from hashbench.cli import listing, options, tune
from hashbench.conformance.rules import RuleLine
from hashbench.errors import BadParameter
from hashbench.registry.spec import Spec

PASSING = RuleLine("it keeps the budget", True)
FAILING = RuleLine("it keeps the labels", False, "it looks; don't")
IDLE = RuleLine("it trains", None, "it does not")


@pytest.fixture
def rules(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[RuleLine]]:
    """The lines that a check of each name gives."""
    known = {"good": [PASSING, IDLE], "bad": [PASSING, FAILING]}
    monkeypatch.setattr(check_module, "_lines", lambda kind, spec: known[spec.name])
    return known


def test_check_prints_each_rule_and_fails_with_any_line(
    command: Command, monkeypatch: pytest.MonkeyPatch, rules: dict[str, list[RuleLine]]
) -> None:
    monkeypatch.setattr(check_module, "_chosen", lambda target: [("attack", Spec("good")), ("defense", Spec("bad"))])
    done = command("check", "both")
    assert done.code == 1
    assert done.out.splitlines() == [
        "attack good", "  pass  it keeps the budget", "  n/a   it trains: it does not", "defense bad",
        "  pass  it keeps the budget", "  FAIL  it keeps the labels: it looks; don't",
    ]  # fmt: skip
    document = json.loads(command("check", "both", "--json").out)
    assert document["passed"] is False
    assert [(one["kind"], one["name"], one["passed"]) for one in document["checked"]] == [
        ("attack", "good", True), ("defense", "bad", False),
    ]  # fmt: skip
    assert document["checked"][1]["rules"][1] == {
        "rule": "it keeps the labels", "passed": False, "reason": "it looks; don't",
    }  # fmt: skip
    monkeypatch.setattr(check_module, "_chosen", lambda target: [("attack", Spec("good"))])
    assert command("check", "one").code == 0
    assert json.loads(command("check", "one", "--json").out)["passed"] is True


def test_a_failing_rule_is_red_in_a_terminal(monkeypatch: pytest.MonkeyPatch, rules: dict[str, list[RuleLine]]) -> None:
    said: list[tuple[str, Any]] = []
    monkeypatch.setattr(click, "secho", lambda text, fg=None, bold=None: said.append((text.strip()[:4], fg)))
    monkeypatch.setattr(check_module, "_chosen", lambda target: [("defense", Spec("bad")), ("attack", Spec("good"))])
    with pytest.raises(click.exceptions.Exit):
        click.Context(check_module.check).invoke(check_module.check, target="both", as_json=False, plugins=())
    assert said == [("defe", None), ("pass", None), ("FAIL", "red"), ("atta", None), ("pass", None), ("n/a ", None)]


def test_documents_are_json_of_any_values() -> None:
    given = {1: math.nan, "a": (1, 2.5, math.inf), "b": Path("x"), "c": None, "d": True, "e": [{"f": "g"}]}
    assert options._as_json(given) == {
        "1": None, "a": [1, 2.5, None], "b": "x", "c": None, "d": True, "e": [{"f": "g"}],
    }  # fmt: skip


def test_formats_are_read_once_each_and_wrong_ones_refused() -> None:
    any_: Any = None
    assert options._read_formats(any_, any_, "PNG, svg,png") == ("png", "svg")
    with pytest.raises(BadParameter, match="--format 'jpg' is no format of pictures; did you mean 'png'"):
        options._read_formats(any_, any_, "png,jpg")


@pytest.mark.parametrize("text", ["rate", "=1,2", "rate=", ""])
def test_a_grid_needs_a_name_and_values(text: str) -> None:
    with pytest.raises(BadParameter, match=r"can't read --grid .*; write NAME=a,b"):
        tune._read_grid([text])
    assert tune._read_grid(["rate=1,2", "steps=3"]) == {"rate": ["1", "2"], "steps": ["3"]}
    assert tune._read_grid([]) is None


def test_a_reference_is_one_of_the_variants() -> None:
    request: Any = SimpleNamespace(choose_defense=lambda text: SimpleNamespace(label=f"{text}!"))
    assert tune._among(["a!", "b!"], "b", request, "x.toml") == "b!"
    with pytest.raises(BadParameter) as refused:
        tune._among(["a!", "b!", "a!"], "c", request, "x.toml")
    assert str(refused.value) == "the reference c! is not among the variants of x.toml; take one of a!, b!"


def entry(**changes: Any) -> Any:
    def function(model: Any, *, steps: int = 3) -> None: ...

    facts = {"name": "mine", "summary": "An entry.", "paper": "", "version": 1, "presets": {}, "function": function,
             "goal": "untargeted", "access": "white", "threats": ("linf", "l2"), "trains": True,
             "transforms": False}  # fmt: skip
    return SimpleNamespace(**(facts | changes))


def test_entries_are_listed_with_their_facts() -> None:
    room = " " * 19
    assert listing._describe("methods", entry()).splitlines() == ["  mine             An entry.", f"{room}steps=3"]
    whole = entry(paper="A paper", version=2, presets={"quick": {"steps": 1}, "slow": {"steps": 9}})
    assert listing._describe("attacks", whole).splitlines()[1] == (
        f"{room}goal: untargeted; access: white; threats: linf, l2; version: 2; paper: A paper"
    )
    assert listing._describe("attacks", whole).splitlines()[2:] == [
        f"{room}steps=3", f"{room}preset=quick: steps=1", f"{room}preset=slow: steps=9",
    ]  # fmt: skip
    assert listing._describe("defenses", whole).splitlines()[1] == (
        f"{room}trains: yes; transforms: no; threats: linf, l2; version: 2; paper: A paper"
    )
    kinds = {kind: listing._entry_document(kind, whole) for kind in ("attacks", "defenses", "methods")}
    shared = {"name", "summary", "paper", "version", "presets", "parameters"}
    assert kinds["methods"].keys() == shared
    assert kinds["attacks"].keys() - shared == {"goal", "access", "threats"}
    assert kinds["defenses"].keys() - shared == {"threats", "trains", "transforms"}
    assert kinds["methods"]["parameters"] == [{"name": "steps", "type": "int", "default": 3, "values": ""}]


def test_suites_are_listed_with_what_they_hold() -> None:
    one = SimpleNamespace(dataset="digits", backbone="cnn", method="csq", bits=16, defenses=("a", "b"), attacks=())
    two = SimpleNamespace(**{**vars(one), "bits": 32, "defenses": ("b",)})
    suite: Any = SimpleNamespace(name="mine", title="A suite", paper="A paper", requests=(one, two))
    room = " " * 19
    assert listing._describe_suite(suite).splitlines() == [
        "  mine             A suite", f"{room}paper: A paper", f"{room}data sets: digits", f"{room}networks: cnn",
        f"{room}methods: csq", f"{room}bits: 16, 32", f"{room}defenses: a, b", f"{room}attacks: none",
    ]  # fmt: skip
    bare: Any = SimpleNamespace(**{**vars(suite), "paper": ""})
    assert "paper" not in listing._describe_suite(bare)
