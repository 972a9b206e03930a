"""Downloads of data and weights, which a command can forbid."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from hashbench.errors import MissingData

_forbidden: ContextVar[str] = ContextVar("forbidden", default="")


@contextmanager
def no_downloads(why: str) -> Iterator[None]:
    """Let nothing inside the block be downloaded; what is here already can be used.

    Args:
        why: ends the message, after "is not here, and".
    """
    token = _forbidden.set(why)
    try:
        yield
    finally:
        _forbidden.reset(token)


def may_download() -> bool:
    """Whether downloads are allowed here."""
    return not _forbidden.get()


def check_download(what: str, otherwise: str) -> None:
    """Say that something has to be downloaded.

    Args:
        what: is to be downloaded.
        otherwise: how to get it by hand.

    Raises:
        MissingData: downloads are forbidden here.
    """
    if why := _forbidden.get():
        raise MissingData(f"{what} is not here, and {why}; {otherwise}")
