"""Values of foreign files against declared types and ranges; a message names the place and the wrong value."""

from __future__ import annotations

import difflib
import math
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from typing import Annotated, Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from hashbench.errors import BadInput
from hashbench.readers.text import printable, shown

T = TypeVar("T")

_UNITS: dict[type, str] = {str: "characters", list: "values", tuple: "values", dict: "keys"}  # what a Limits counts


@dataclass(frozen=True)
class Limits:
    """Limits of a number, or of the length of a text or a list; both are included. Used inside Annotated."""

    low: float = -math.inf
    high: float = math.inf

    def __str__(self) -> str:
        if self.high == math.inf:
            return f"at least {self.low:g}"
        return f"from {self.low:.15g} to {self.high:.15g}"


def record(content: object, kind: type[T], source: str) -> T:
    """A dataclass made of a table of its fields.

    Understood are str, int, float (whole numbers too), bool, None, Any, Literal, unions, list[X], tuple[X, ...],
    dict[str, X], other dataclasses, and Annotated with a Limits or a function that returns what is wrong with a value.
    A bool is never a number; NaN and infinity never pass.

    Args:
        content: what a reader returned.
        source: the file, for messages.

    Raises:
        BadInput: a field is missing, unknown or of another type or range; the message has its path, such as
            identity.eps.
    """
    return cast("T", _dataclass(content, kind, source, ""))


def check(value: object, hint: Any, source: str, place: str) -> Any:
    """The value as a type declares it, lists as tuples where it says so.

    Raises:
        BadInput: as of `record`; `place` is the path of the value in its file.
    """
    origin = get_origin(hint)
    if hint is Any:
        return value
    if origin is Annotated:
        inner, *extras = get_args(hint)
        found = check(value, inner, source, place)
        for extra in extras:
            _check_extra(found, extra, source, place)
        return found
    if origin in (Union, types.UnionType):
        return _union(value, get_args(hint), source, place)
    if origin is Literal:
        if isinstance(value, str) and value in get_args(hint):
            return value
        raise _wrong(value, "one of " + ", ".join(map(str, get_args(hint))), source, place)
    if origin in (list, tuple):
        if not isinstance(value, list):
            raise _wrong(value, "a list", source, place)
        found = [check(item, get_args(hint)[0], source, f"{place}[{at}]") for at, item in enumerate(value)]
        return tuple(found) if origin is tuple else found
    if origin is dict or hint is dict:
        inner = get_args(hint)[1] if get_args(hint) else Any
        return {key: check(item, inner, source, _join(place, key)) for key, item in _table(value, source, place)}
    return _dataclass(value, hint, source, place) if is_dataclass(hint) else _plain(value, hint, source, place)


def unknown_key(key: str, known: Iterable[str], source: str, place: str) -> BadInput:
    """The error for a key that nothing reads, with the nearest known one."""
    names = list(known)
    close = difflib.get_close_matches(key[:80], names, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(names)}"
    return BadInput(f"{source}: there is no key {printable(_join(place, key), 120)}; {hint}")


def _dataclass(value: object, kind: Any, source: str, place: str) -> Any:
    hints = get_type_hints(kind, include_extras=True)
    needed = {f.name for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING}
    given: dict[str, Any] = {}
    for key, item in _table(value, source, place):
        if key not in hints:
            raise unknown_key(key, hints, source, place)
        given[key] = check(item, hints[key], source, _join(place, key))
    if missing := sorted(needed - given.keys()):
        raise BadInput(f"{source} lacks {printable(_join(place, missing[0]))}; write it as hashbench does")
    return kind(**given)


def _table(value: object, source: str, place: str) -> Iterable[tuple[str, Any]]:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise _wrong(value, "a table of named values", source, place)
    return cast("Iterable[tuple[str, Any]]", value.items())


def _union(value: object, members: tuple[Any, ...], source: str, place: str) -> Any:
    if value is None and type(None) in members:
        return None
    others = [member for member in members if member is not type(None)]
    errors: list[BadInput] = []
    for member in others:
        try:
            return check(value, member, source, place)
        except BadInput as error:
            errors.append(error)
    # a member of the value's own kind says best what is wrong with it
    raise next((error for member, error in zip(others, errors, strict=True) if _is_kind(value, member)), errors[0])


def _is_kind(value: object, hint: Any) -> bool:
    origin = get_origin(hint)
    if origin is Annotated:
        return _is_kind(value, get_args(hint)[0])
    return isinstance(value, list) if origin in (list, tuple) else isinstance(hint, type) and isinstance(value, hint)


def _plain(value: object, hint: Any, source: str, place: str) -> Any:
    words = {str: "a text", int: "a whole number", float: "a number", bool: "true or false", type(None): "nothing"}
    if hint is None:
        hint = type(None)
    if hint not in words:
        raise TypeError(f"{hint} can't be declared for {place}")
    right = type(value) is hint or (hint is float and type(value) is int)
    if not right or (isinstance(value, float) and not math.isfinite(value)):
        raise _wrong(value, words[hint], source, place)
    return value


def _check_extra(value: Any, extra: object, source: str, place: str) -> None:
    if isinstance(extra, Limits) and value is not None:
        size = len(value) if isinstance(value, str | list | tuple | dict) else value
        if not extra.low <= size <= extra.high:
            unit = _UNITS.get(type(value), "")
            wanted = f"{extra} {unit}".rstrip() if unit else f"a number {extra}"
            raise _wrong(value, wanted, source, place)
    elif callable(extra):
        problem = cast("Callable[[Any], str]", extra)(value)
        if problem:
            raise _wrong(value, problem, source, place)


def _wrong(value: object, wanted: str, source: str, place: str) -> BadInput:
    where = f"{printable(place, 120)} is" if place else "it holds"
    return BadInput(f"{source}: {where} {shown(value)}; give {wanted}")


def _join(place: str, key: str) -> str:
    return f"{place}.{key}" if place else key
