"""What a registration must say so that names, values and versions can be trusted: checked on decorating."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, get_args

from hashbench.errors import BadParameter, MissingData, PluginError
from hashbench.registry.entry import DEFAULT, PRESET, Access, Entry, Goal
from hashbench.registry.parameters import Parameter, Value, format_value, parameters, suggestion
from hashbench.registry.spec import Spec
from hashbench.registry.tracks import UNLABELLED
from hashbench.threat import KINDS

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_+-]*")
ENTRY_KINDS = ("attack", "defense", "method", "backbone", "dataset")  # as `uses` writes them


def check_entry(kind: str, entry: Entry[Any]) -> None:
    """Refuse an entry that could not be named, whose values could not be read, or that says what has no meaning.

    Args:
        kind: of the entry, in messages.

    Raises:
        PluginError: the name or a preset's name can't be written on the command line; the version is not a whole number
            from 1 on; goal, access, threats or the kind of an entry that it uses are unknown; the goal is that of an
            inner attack and no parameter names it; a parameter is called preset; a default, or a value of a preset or
            of the grid, is none that its parameter takes; images without labels are used by default.
    """
    owner = f"the {kind} {entry.name!r}"
    _check_name(entry.name, owner)
    if type(entry.version) is not int or entry.version < 1:
        raise PluginError(f"{owner} has version {entry.version!r}; give a whole number of at least 1")
    _check_word("goal", entry.goal, get_args(Goal), owner)
    _check_word("access", entry.access, get_args(Access), owner)
    threats: object = entry.threats
    if isinstance(threats, str) or not threats:
        raise PluginError(f"{owner} has threats={threats!r}; give a tuple of some of {', '.join(KINDS)}")
    for threat in entry.threats:
        _check_word("a threat", threat, KINDS, owner)
    for used, _ in entry.uses:
        _check_word("uses of kind", used, ENTRY_KINDS, owner)
    _check_values(entry, owner)


def _check_values(entry: Entry[Any], owner: str) -> None:
    known = {parameter.name: parameter for parameter in parameters(entry.function)}
    if entry.goal == "inner" and "attack" not in known:
        raise PluginError(f"{owner} has the goal of an inner attack; add a parameter attack, which names that one")
    if PRESET in known:
        raise PluginError(f"{owner} has a parameter {PRESET}, a word that names sets of values; call it something else")
    for parameter in known.values():
        _check_value(parameter, format_value(parameter.default), parameter.default, f"a default of {owner}")
    if UNLABELLED in known and known[UNLABELLED].default:
        raise PluginError(f"{owner} sets {UNLABELLED} by default; let it be 0, so that labels tell when it is")
    for preset, values in entry.presets.items():
        what = f"the preset {preset!r} of {owner}"
        _check_name(preset, what)
        if preset == DEFAULT:
            raise PluginError(f"{what} has the name of the values without a preset; choose another name")
        for name, value in values.items():
            _check_written(_among(known, name, what), value, what)
    for name, tried in entry.grid.items():
        _check_axis(name, tried, known, entry)


def _check_axis(name: str, tried: Sequence[Value], known: dict[str, Parameter], entry: Entry[Any]) -> None:
    what = f"the grid of the defense {entry.name!r}"
    if isinstance(tried, str) or not tried:
        raise PluginError(f"{what} has {name}={tried!r}; give a list of at least one value")
    for value in tried:
        if name == PRESET:
            _check_word(PRESET, value, (DEFAULT, *entry.presets), what)
        else:
            _check_written(_among(known, name, what), value, what)


def _among(known: dict[str, Parameter], name: str, what: str) -> Parameter:
    if name not in known:
        hint = suggestion(name, known) if known else "; it takes no parameters"
        raise PluginError(f"{what} sets {name!r}, which is not one of its parameters{hint}")
    return known[name]


def _check_name(name: str, owner: str) -> None:
    if not NAME.fullmatch(name):
        raise PluginError(f"{owner} has a name that can't be written on the command line; use letters, digits and -_+")


def _check_word(what: str, word: object, known: Collection[str], owner: str) -> None:
    if word not in known:
        raise PluginError(f"{owner} has {what} {word!r}{suggestion(str(word), known)}")


def _check_written(parameter: Parameter, value: Value, what: str) -> None:
    """Refuse a value that could not be read back from a label, which never shows defaults."""
    try:
        text = Spec.parse(f"{PRESET}:{parameter.name}={format_value(value)}").params[parameter.name]
    except BadParameter:
        raise PluginError(f"{what}: {parameter.name}={value!r} can't be written on the command line") from None
    _check_value(parameter, text, value, what)


def _check_value(parameter: Parameter, text: str, value: Value, what: str) -> None:
    try:
        same = parameter.read(text) == value or parameter.kind is Path
    except MissingData:
        same = True  # a file that another machine has
    except BadParameter as error:
        raise PluginError(f"{what}: {error}") from None
    if not same:
        raise PluginError(f"{what}: {parameter.name}={value!r} can't be written on the command line")
