"""Hyper-parameters: the keyword-only arguments of a function, read from its signature."""

from __future__ import annotations

import difflib
import inspect
import math
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from hashbench.digests import DATA_VARIABLE, file_digest, file_of_digest
from hashbench.errors import BadParameter, MissingData, PluginError
from hashbench.readers.text import read_number
from hashbench.readers.toml_files import LARGEST_SEED
from hashbench.threat import format_eps

Value = bool | int | float | str | Path | None
SHA256 = "sha256-"  # begins what stands for a file in labels: its digest
SHORTEST = 3  # letters of a name by whose parts a near one is found
MANY = 8  # characters of a default, beyond which a fraction is easier to read


@dataclass(frozen=True)
class Range:
    """The values from low to high, both included unless `open_low`.

    >>> 0 in Range(0, 1), 0 in Range(0, open_low=True), str(Range(0, 1))
    (True, False, 'from 0 to 1')
    """

    low: float = -math.inf
    high: float = math.inf
    open_low: bool = False

    def __contains__(self, value: float) -> bool:
        above = value > self.low if self.open_low else value >= self.low
        return above and value <= self.high

    def __str__(self) -> str:
        if self.high == math.inf:
            return f"{'above' if self.open_low else 'at least'} {self.low:g}"
        return f"{'above' if self.open_low else 'from'} {self.low:g} to {self.high:.10g}"


Count = Annotated[int, Range(1)]
NonNegativeInt = Annotated[int, Range(0)]
Seed = Annotated[int, Range(0, LARGEST_SEED)]
Positive = Annotated[float, Range(0, open_low=True)]
NonNegative = Annotated[float, Range(0)]
Share = Annotated[float, Range(0, 1)]
SignedShare = Annotated[float, Range(-1, 1)]


@dataclass(frozen=True)
class ContentFile:
    """Marks a parameter that names a file on which results depend.

    The file's content, not its path, is part of the identity of the parameter's owner, and its digest stands for it in
    labels; such a label is read where the file is in the folder $HASHBENCH_DATA. A plain Path only says where something
    is on this machine and is not part of the identity.

    Args:
        words: values that do not name a file.
    """

    words: tuple[str, ...] = ()

    def __str__(self) -> str:
        return " | ".join([*self.words, "path of a file"])


@dataclass(frozen=True)
class Later:
    """Marks a parameter that was added when there were results already.

    At its default it is not part of its owner's identity, so that those results keep their names and their seeds.
    """


@dataclass(frozen=True)
class Parameter:
    """One keyword-only argument: its type, default, and the values it takes."""

    name: str
    kind: type
    default: Value
    optional: bool = False
    bounds: Range | None = None
    choices: tuple[str | int, ...] = ()
    content: ContentFile | None = None
    later: bool = False

    def read(self, text: str) -> Value:
        """Turn text into a value of the parameter's type, within its range.

        Raises:
            BadParameter: the text can't be read, or the value is out of range.
            MissingData: it names a file that is not there.
        """
        if self.optional and text.lower() == "none":
            return None
        if self.choices:
            if text in map(str, self.choices):
                return next(choice for choice in self.choices if str(choice) == text)
            raise BadParameter(f"{self.name}={text} is unknown; take one of {', '.join(map(str, self.choices))}")
        try:
            value = _READERS[self.kind](text)
        except (ValueError, KeyError, ZeroDivisionError):
            wanted = _WANTED[self.kind]
            raise BadParameter(f"can't read {self.name}={text}; {wanted}") from None
        if self.bounds and isinstance(value, int | float) and value not in self.bounds:
            wanted = str(self.bounds).replace("at least", "of at least")
            raise BadParameter(f"{self.name}={text} is out of range; take a number {wanted}")
        if self.content is None or text in self.content.words:
            return value
        path = file_of_digest(text.removeprefix(SHA256)) if text.startswith(SHA256) else Path(text).expanduser()
        if path is None or not path.is_file():
            named = " or ".join([*self.content.words, "the path of a file"])
            wanted = f"give {named}" if path else f"put the file into ${DATA_VARIABLE}"
            raise MissingData(f"{self.name}={text} is not a file; {wanted}")
        return _READERS[self.kind](str(path)) if text.startswith(SHA256) else value

    def visible(self, value: Value) -> bool:
        """Whether a value is part of its owner's identity: all but paths on this machine and defaults of `Later`."""
        return not (self.later and value == self.default) and (self.kind is not Path or self.content is not None)

    def identify(self, value: Value) -> Value:
        """What represents a value in its owner's identity: a digest for a file, otherwise the value."""
        if self.content is None or value is None or value in self.content.words:
            return value
        return f"{SHA256}{file_digest(Path(str(value)).expanduser())}"

    @property
    def range(self) -> str:
        """The values it takes, for people to read; empty if its type says enough."""
        return " | ".join(map(str, self.choices)) or str(self.bounds or self.content or "")

    def __str__(self) -> str:
        return f"{self.name}={_default_text(self.default)}"


def parameters(function: Callable[..., Any]) -> tuple[Parameter, ...]:
    """The keyword-only arguments of a function, in the order of its signature.

    An argument whose type is a dataclass stands for the dataclass's fields, with the values of its default.

    Raises:
        PluginError: an argument lacks a default or a type that the command line can read.

    >>> def blur(model, *, radius: Count = 2): ...
    >>> [str(parameter) for parameter in parameters(blur)]
    ['radius=2']
    """
    found: list[Parameter] = []
    for argument, hint in _keyword_only(function):
        if is_dataclass(hint) and isinstance(hint, type):
            fields = get_type_hints(hint, include_extras=True)
            found += [
                _parameter(function, n, getattr(argument.default, n, argument.empty), h) for n, h in fields.items()
            ]
        else:
            found.append(_parameter(function, argument.name, argument.default, hint))
    return tuple(found)


def arguments(function: Callable[..., Any], values: Mapping[str, Value]) -> dict[str, Any]:
    """The keyword arguments of a call: the values of all parameters, those of a dataclass put together."""
    called: dict[str, Any] = {}
    for argument, hint in _keyword_only(function):
        if is_dataclass(hint) and isinstance(hint, type):
            called[argument.name] = hint(**{name: values[name] for name in get_type_hints(hint)})
        else:
            called[argument.name] = values[argument.name]
    return called


def resolve(function: Callable[..., Any], given: Mapping[str, str], owner: str) -> dict[str, Value]:
    """All parameters of a function: the given ones read from text, the others at their defaults.

    Raises:
        BadParameter: the function has no such parameter, or the parameter can't take the value.
        MissingData: a parameter names a file that is not there.

    >>> def blur(model, *, radius: Count = 2, sigma: Positive = 1.0): ...
    >>> resolve(blur, {"sigma": "1/2"}, "defense 'blur'")
    {'radius': 2, 'sigma': 0.5}
    """
    known = {p.name: p for p in parameters(function)}
    for name in given:
        if name not in known:
            hint = suggestion(name, known) if known else "; it takes no parameters"
            raise BadParameter(f"{owner} has no parameter {name!r}{hint}")
    try:
        return {n: p.read(given[n]) if n in given else p.default for n, p in known.items()}
    except (BadParameter, MissingData) as error:
        raise type(error)(f"{owner}: {error}") from None


def suggestion(name: str, known: Iterable[str]) -> str:
    """The end of an error message: the nearest known name, or all of them.

    A name that contains the wrong one, or is contained in it, is near too.

    >>> suggestion("cgta", ["cgat", "saat"]), suggestion("?", ["cgat", "saat"])
    ("; did you mean 'cgat'?", '; take one of cgat, saat')
    >>> suggestion("mnist", ["digits", "fashion-mnist", "lists"])
    "; did you mean 'fashion-mnist'?"
    """
    names, plain = sorted(known), name.lower()
    parts = [one for one in names if len(plain) >= SHORTEST and plain in one]
    parts += [one for one in names if len(one) >= SHORTEST and one in plain]
    close = sorted(parts, key=lambda one: abs(len(one) - len(plain))) or difflib.get_close_matches(plain, names, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; take one of {', '.join(names)}"


def format_value(value: Value) -> str:
    """A value in a form in which the command line reads it back exactly.

    >>> format_value(0.50), format_value(True), format_value(1e-5), format_value(10 / 3)
    ('0.5', 'True', '1e-05', '3.3333333333333335')
    """
    if not isinstance(value, float):
        return str(value)
    short = f"{value:g}"
    return short if float(short) == value else repr(value)


def _default_text(value: Value) -> str:
    """A default for people to read: one of many digits as a fraction of 255, or rounded.

    >>> _default_text(8 / 255), _default_text(0.2)
    ('8/255', '0.2')
    """
    text = format_value(value)
    return format_eps(value) if isinstance(value, float) and len(text) > MANY else text


def _keyword_only(function: Callable[..., Any]) -> list[tuple[inspect.Parameter, Any]]:
    """The keyword-only arguments of a function with their types."""
    hints = get_type_hints(function, include_extras=True)
    known = inspect.signature(function).parameters.values()
    return [(p, hints.get(p.name)) for p in known if p.kind is p.KEYWORD_ONLY]


def _parameter(function: Callable[..., Any], name: str, default: Any, hint: Any) -> Parameter:
    members = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    kinds = [m for m in members if m is not type(None)]
    optional = len(kinds) < len(members)
    extras: list[Any] = []
    if get_origin(kinds[0]) is Annotated:
        kinds[0], *extras = get_args(kinds[0])
    bounds = next((e for e in extras if isinstance(e, Range)), None)
    content = next((e for e in extras if isinstance(e, ContentFile)), None)
    later = any(isinstance(e, Later) for e in extras)
    if get_origin(kinds[0]) is Literal:
        return Parameter(name, str, default, optional, choices=get_args(kinds[0]), later=later)
    if default is inspect.Parameter.empty or len(kinds) != 1 or kinds[0] not in _READERS:
        raise PluginError(
            f"{function.__name__}: parameter {name!r} needs a default and one of the types "
            "bool, int, float, str, Path or Literal"
        )
    if isinstance(default, float) and not math.isfinite(default):
        raise PluginError(
            f"{function.__name__}: parameter {name!r} has the default {default}; choose a finite number, or None"
        )
    return Parameter(name, kinds[0], typed(kinds[0], default), optional, bounds, content=content, later=later)


def typed(kind: type, value: Value) -> Value:
    """A value as the command line reads it: a whole number for a parameter that is a float is a float too."""
    return float(value) if kind is float and type(value) is int else value


def _read_bool(text: str) -> bool:
    return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}[text.lower()]


_READERS: dict[type, Callable[[str], Value]] = {
    bool: _read_bool,
    int: int,
    float: read_number,
    str: str,
    Path: lambda text: Path(text).expanduser(),
}
_WANTED = {
    bool: "write true or false",
    int: "write a whole number",
    float: "write a number such as 0.03 or 8/255",
    str: "write a word",
    Path: "write a path",
}
