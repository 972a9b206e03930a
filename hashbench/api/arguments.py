"""What is given to Python's functions: read like the command line's words, and called arguments in errors."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from hashbench.errors import BadInput, BadParameter, HashbenchError
from hashbench.models.arrays import whole_of
from hashbench.readers.text import shown

P = ParamSpec("P")
R = TypeVar("R")
OPTIONS = {
    "attacks": "attack", "certifying": "certify", "defenses": "defense", "plugins": "plugin", "seeds": "seed",
}  # fmt: skip
WORD = re.compile(r"('hashbench [^']*')|(?<![\w-])--([a-z]+(?:-[a-z]+)*)(=?)")


def naming_arguments(function: Callable[P, R]) -> Callable[P, R]:
    """The same function, whose errors name its arguments where those of the command line name options.

    What stands in quotes as a command of hashbench stays as it is, and so do options that are no arguments.

    >>> @naming_arguments
    ... def measure(store, *, keep_models=False):
    ...     raise BadInput("choose another --store, or leave out --keep-models; see 'hashbench run --store runs'")
    >>> try:
    ...     measure("runs")
    ... except HashbenchError as error:
    ...     print(error)
    choose another store=, or leave out keep_models=True; see 'hashbench run --store runs'
    """
    known = {OPTIONS.get(p.name, p.name.replace("_", "-")): p for p in inspect.signature(function).parameters.values()}

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except HashbenchError as error:
            error.on_command_line = str(error)
            error.args = (WORD.sub(lambda found: _argument(found, known), str(error)),)
            raise

    return call


def _argument(found: re.Match[str], known: Mapping[str, inspect.Parameter]) -> str:
    command, option, equals = found.groups()
    if command or option not in known:
        return found[0]
    return f"{known[option].name}={'True' if known[option].default is False and not equals else ''}"


def count_of(value: Any, what: str) -> int:
    """A number of things, 1 or more.

    Raises:
        BadInput: it is no whole number.
        BadParameter: it is below 1.

    >>> count_of(2, "threads")
    2
    """
    count = whole_of(value, what)
    if count < 1:
        raise BadParameter(f"{what}={count} is below 1; give 1 or more")
    return count


def word_of(value: Any, what: str) -> str:
    """A word as people hold it.

    Raises:
        BadInput: it is no text.

    >>> word_of("linf", "norm")
    'linf'
    """
    if not isinstance(value, str):
        raise BadInput(f"{what} is {shown(value)}; give a text")
    return value


def list_of(values: Any, what: str, example: object = "NAME") -> Sequence[Any]:
    """Several values as people hold them.

    Args:
        example: what such a list holds, for instance.

    Raises:
        BadInput: it is a single value, or none.

    >>> list_of((0, 1), "seeds")
    (0, 1)
    """
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise BadInput(f"{what} is one {type(values).__name__}; give a list: {what}=[{example!r}]")
    return tuple(values)


def files_of(plugins: Any) -> list[Path]:
    """Plugin files as people hold them.

    Raises:
        BadInput: they are no paths, or no list.

    >>> [path.name for path in files_of(["mine.py"])]
    ['mine.py']
    """
    return [path_of(path, "a plugin") for path in list_of(plugins, "plugins", "mine.py")]


def path_of(value: Any, what: str) -> Path:
    """A path as people hold it.

    Raises:
        BadInput: it is none.

    >>> path_of("runs", "store").name
    'runs'
    """
    if not isinstance(value, str | PathLike):
        raise BadInput(f"{what} is {shown(value)}; give a path")
    return Path(value)
