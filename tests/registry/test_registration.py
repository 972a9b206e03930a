"""What decorators refuse, so that names, values and versions of plugins can be trusted."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest

from hashbench.errors import PluginError
from hashbench.registry import entries
from hashbench.registry.decorators import attack, dataset, defense, method
from hashbench.registry.entry import Presets
from hashbench.registry.parameters import Count
from hashbench.registry.registration import check_entry
from hashbench.registry.spec import Spec


def craft(victim: Any, threat: Any, *, steps: Count = 3, goal_code: Literal["far", "near"] = "far") -> Any: ...


def train_it(
    model: Any, train: Any, method: Any, threat: Any, *, weight: float = 1.0, file: Path | None = None
) -> Any: ...


def wrap(victim: Any, threat: Any, *, attack: str = "pgd-hamming") -> Any: ...


def out_of_range(victim: Any, threat: Any, *, steps: Count = 0) -> Any: ...


def of_another_type(victim: Any, threat: Any, *, steps: int = 0.5) -> Any: ...  # type: ignore[assignment]


def two_words(victim: Any, threat: Any, *, words: str = "one,two") -> Any: ...


def with_preset(victim: Any, threat: Any, *, preset: str = "fast") -> Any: ...


@pytest.mark.parametrize(
    ("register", "message"),
    [
        (lambda: attack("my:attack")(craft), "'my:attack' has a name that can't be written on the command line"),
        (lambda: attack("mine, too")(craft), "'mine, too' has a name that can't be written"),
        (lambda: method("")(craft), "the method '' has a name that can't be written"),
        (lambda: dataset("-mine")(craft), "the data set '-mine' has a name that can't be written"),
        (lambda: attack("mine", version=0)(craft), "'mine' has version 0; give a whole number of at least 1"),
        (lambda: attack("mine", version=True)(craft), "'mine' has version True; give a whole number"),
        (lambda: attack("mine", version="2")(craft), "'mine' has version '2'; give a whole number"),  # type: ignore[arg-type]
        (lambda: attack("mine", goal="target")(craft), "goal 'target'; did you mean 'targeted'?"),  # type: ignore[arg-type]
        (lambda: attack("mine", goal="inner")(craft), "add a parameter attack, which names that one"),
        (lambda: attack("mine", access="whitebox")(craft), "access 'whitebox'; did you mean 'white'?"),  # type: ignore[arg-type]
        (lambda: attack("mine", access="score")(craft), "access 'score'; take one of decision, none, ranking"),  # type: ignore[arg-type]
        (lambda: attack("mine", threats="linf")(craft), "threats='linf'; give a tuple of some of linf, l2, patch"),  # type: ignore[arg-type]
        (lambda: attack("mine", threats=())(craft), r"threats=\(\); give a tuple"),
        (lambda: defense("mine", threats=("l1",))(train_it), "the defense 'mine' has a threat 'l1'; take one of l2,"),
        (lambda: attack("mine", uses=[("attacks", "noise")])(craft), "uses of kind 'attacks'; did you mean 'attack'?"),
        (lambda: attack("mine")(out_of_range), "a default of the attack 'mine': steps=0 is out of range"),
        (lambda: attack("mine")(of_another_type), "a default of the attack 'mine': can't read steps=0.5"),
        (lambda: attack("mine", presets={"fast": {"words": "a,b"}})(two_words), "words='a,b' can't be written"),
        (lambda: attack("mine", presets={"fast": {"words": " a"}})(two_words), "words=' a' can't be written"),
        (lambda: attack("mine")(with_preset), "has a parameter preset, a word that names sets of values"),
        (lambda: attack("mine", presets={"fast": {"step": 1}})(craft), "'fast' .* sets 'step', .*did you mean 'steps'"),
        (lambda: attack("mine", presets={"fast": {"steps": 0}})(craft), "'fast' .*'mine': steps=0 is out of range"),
        (lambda: attack("mine", presets={"fast": {"goal_code": "up"}})(craft), "goal_code=up is unknown"),
        (lambda: attack("mine", presets={"very fast": {}})(craft), "'very fast' .* has a name that can't be written"),
        (lambda: attack("mine", presets={"default": {}})(craft), "has the name of the values without a preset"),
        (lambda: defense("mine", grid={"wieght": [1]})(train_it), "sets 'wieght', .*; did you mean 'weight'?"),
        (lambda: defense("mine", grid={"weight": []})(train_it), r"weight=\[\]; give a list of at least one value"),
        (lambda: defense("mine", grid={"weight": "12"})(train_it), "weight='12'; give a list"),
        (lambda: defense("mine", grid={"weight": ["heavy"]})(train_it), "the grid .*: can't read weight=heavy"),
        (lambda: defense("mine", grid={"preset": ["strong"]})(train_it), "preset 'strong'; take one of default"),
    ],
)  # fmt: skip
def test_what_could_not_be_named_or_read_is_refused(register: Callable[[], Any], message: str) -> None:
    with entries.restored():
        with pytest.raises(PluginError, match=message):
            register()
        assert "mine" not in {entry.name for registry in entries.REGISTRIES for entry in registry}


def test_what_can_be_written_is_taken(tmp_path: Path) -> None:
    with entries.restored():
        presets: Presets = {"fast": {"steps": 1}, "near-2": {"goal_code": "near"}}
        attack("My_attack-2+", goal="untargeted", access="decision", threats=("l2", "patch"), presets=presets)(craft)
        attack("wrapping", goal="inner")(wrap)
        attack("two-words")(two_words)
        missing = {"elsewhere": {"file": tmp_path / "missing"}}
        defense("mine", grid={"weight": [1, 0.5], "preset": ["default", "elsewhere"]}, presets=missing)(train_it)
        names = {entry.name for registry in (entries.attacks, entries.defenses) for entry in registry}
    assert {"My_attack-2+", "wrapping", "mine"} <= names


def test_whole_numbers_for_a_float_are_the_same_float_in_every_key() -> None:
    def light(model: Any, train: Any, method: Any, threat: Any, *, weight: float = 1, other: float = 0.5) -> Any: ...

    with entries.restored():
        defense("light", presets={"even": {"other": 2}})(light)
        choose = entries.defenses.choose
        plain, written = choose(Spec("light")), choose(Spec("light", {"weight": "1"}))
        named, given = choose(Spec("light", {"preset": "even"})), choose(Spec("light", {"other": "2"}))
    for one, other in ((plain, written), (named, given)):
        assert (one.label, json.dumps(dict(one.visible))) == (other.label, json.dumps(dict(other.visible)))


def test_whatever_is_registered_here_is_as_it_should_be() -> None:
    for registry in entries.REGISTRIES:
        for entry in registry:
            check_entry(registry.kind, entry)
