"""Progress that long loops report and that a terminal may show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol, TypeVar

T = TypeVar("T")


class Meter(Protocol):
    """Shows how far a named loop has got."""

    def begin(self, name: str, total: int) -> int:
        """Show a new loop of `total` steps; returns its handle."""

    def advance(self, handle: int) -> None:
        """Move a loop one step forward."""

    def end(self, handle: int) -> None:
        """Remove a loop."""


_meter: ContextVar[Meter | None] = ContextVar("meter", default=None)


@contextmanager
def shown_on(meter: Meter) -> Iterator[None]:
    """Show the progress of all loops inside the block on a meter."""
    token = _meter.set(meter)
    try:
        yield
    finally:
        _meter.reset(token)


@contextmanager
def waiting(name: str) -> Iterator[None]:
    """Show a name while a block waits for something."""
    meter = _meter.get()
    handle = meter.begin(name, 1) if meter else 0
    try:
        yield
    finally:
        if meter:
            meter.end(handle)


def track(items: Sequence[T], name: str) -> Iterator[T]:
    """Iterate over a sequence and report each step under a name.

    >>> list(track([3, 1, 2], "an example"))
    [3, 1, 2]
    """
    meter = _meter.get()
    if meter is None:
        yield from items
        return
    handle = meter.begin(name, len(items))
    try:
        for item in items:
            yield item
            meter.advance(handle)
    finally:
        meter.end(handle)
