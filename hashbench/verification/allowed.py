"""Limits on what a submitted row may make `verify --rerun` do: no files, and no more work than stated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hashbench.errors import BadInput
from hashbench.readers.text import shown
from hashbench.registry import entries
from hashbench.registry.entries import Choice
from hashbench.registry.parameters import parameters
from hashbench.registry.spec import Spec
from hashbench.training.undefended import clean_training

WORK = 20  # times the defaults' work
NO_FILES = "leave it out, or allow it with --allow-files"


@dataclass(frozen=True)
class Allowed:
    """What rows may ask for.

    Attributes:
        files: whether their parameters may name files of this machine.
        work: the most that the whole numbers among the parameters of a row's entry may be, multiplied, each as a
            multiple of its default: 20 times the steps, or 4 times the steps and 5 times the restarts.
    """

    files: bool = False
    work: int = WORK


MODEST = Allowed()


def check_allowed(identity: Mapping[str, Any], allowed: Allowed) -> None:
    """Refuse a row that asks for more than is allowed, before anything is loaded.

    Raises:
        BadInput: a parameter names a file, or numbers ask for too much work.
        UsageError: an entry or a parameter is unknown here.
    """
    named: dict[str, entries.Registry[Any]] = {
        "dataset": entries.datasets, "backbone": entries.backbones, "method": entries.methods,
        "defense": entries.defenses, "attack": entries.attacks,
    }  # fmt: skip
    for kind, group in named.items():
        spec = Spec.parse(str(identity[kind]))
        _check_files(kind, spec, group[spec.name].function, allowed)
        _check_work(kind, group.choose(spec), allowed)
    training = entries.choose_clean(clean_training, str(identity["training"]).partition(":")[2])
    _check_work("training", training, allowed)


def _check_files(kind: str, spec: Spec, function: Any, allowed: Allowed) -> None:
    if allowed.files:
        return
    for parameter in parameters(function):
        if parameter.name in spec.params and (parameter.kind is Path or parameter.content is not None):
            value = shown(spec.params[parameter.name])
            raise BadInput(f"its {kind} names the file {value} by {parameter.name}; {NO_FILES}")


def _check_work(kind: str, choice: Choice[Any], allowed: Allowed) -> None:
    factor = 1.0
    for parameter in parameters(choice.entry.function):
        value = choice.params.get(parameter.name)
        if isinstance(value, int) and not isinstance(value, bool):
            usual = parameter.default if isinstance(parameter.default, int) else 1
            factor *= max(1.0, value / max(1, usual))
    if factor > allowed.work:
        raise BadInput(
            f"its {kind} asks for {factor:.3g} times the work of its defaults; {allowed.work} is the most, "
            "allow more with --allow-work"
        )
