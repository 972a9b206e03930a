"""Shape checks of hashbench's functions at run time, each inner function once a test.

jaxtyping compiles its checks anew whenever a function is made, and attacks make inner functions in their loops, which
took most of the time of their tests. So of each inner function the first one that a test makes is checked.
"""

from __future__ import annotations

from types import CodeType
from typing import Any

import jaxtyping

CHECKED: set[CodeType] = set()  # inner functions of which this test has checked one


def install(modules: list[str]) -> None:
    """Check the shapes in some modules of hashbench, which nothing has imported yet."""
    jaxtyping.install_import_hook([f"hashbench.{name}" for name in modules], "beartype.beartype")
    every = jaxtyping.jaxtyped

    def sparing(made: Any = None, /, *, typechecker: Any) -> Any:
        def decorate(made: Any) -> Any:
            if "<locals>" not in getattr(made, "__qualname__", "") or isinstance(made, type):
                return every(made, typechecker=typechecker)
            if made.__code__ in CHECKED:
                return made
            CHECKED.add(made.__code__)
            return every(made, typechecker=typechecker)

        return decorate if made is None else decorate(made)

    jaxtyping.jaxtyped = sparing  # type: ignore[assignment]


def begin_test() -> None:
    """Check one of each inner function again."""
    CHECKED.clear()
