"""Shape checks of hashbench's functions at run time: of each the first calls of a test, then now and then one.

Checking every call took a fifth of the tests' time. jaxtyping compiles its checks anew whenever a function is made, and
attacks make inner functions in their loops; so of each inner function the first one that a test makes is checked.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable
from types import CodeType
from typing import Any

import jaxtyping

FIRST = 8  # calls of a function in a test that are checked
EVERY = 16  # of the further calls one in so many
CHECKED: set[CodeType] = set()  # inner functions of which this test has checked one
CALLS: Counter[CodeType] = Counter()  # of the other functions in this test


def install(modules: list[str]) -> None:
    """Check the shapes in some modules of hashbench, which nothing has imported yet."""
    jaxtyping.install_import_hook([f"hashbench.{name}" for name in modules], "beartype.beartype")
    every = jaxtyping.jaxtyped

    def sparing(made: Any = None, /, *, typechecker: Any) -> Any:
        def decorate(made: Any) -> Any:
            if isinstance(made, type):
                return every(made, typechecker=typechecker)
            if "<locals>" not in getattr(made, "__qualname__", ""):
                return now_and_then(made, every(made, typechecker=typechecker))
            if made.__code__ in CHECKED:
                return made
            CHECKED.add(made.__code__)
            return every(made, typechecker=typechecker)

        return decorate if made is None else decorate(made)

    jaxtyping.jaxtyped = sparing  # type: ignore[assignment]


def now_and_then(made: Callable[..., Any], checked: Callable[..., Any]) -> Callable[..., Any]:
    """A function of which some calls are checked."""
    code = made.__code__

    @functools.wraps(made)
    def call(*args: Any, **named: Any) -> Any:
        number = CALLS[code]
        CALLS[code] = number + 1
        return (checked if number < FIRST or not number % EVERY else made)(*args, **named)

    return call


def begin_test() -> None:
    """Check one of each inner function and the first calls of the others again."""
    CHECKED.clear()
    CALLS.clear()
