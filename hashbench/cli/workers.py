"""The options of `hashbench run` that distribute it over processes and machines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

C = TypeVar("C", bound=Callable[..., Any])

_OPTIONS = (
    click.option("--workers", type=click.IntRange(1), metavar="N", help="Run in N processes on this machine."),
    click.option("--scheduler", metavar="ADDRESS", help="Run on the workers of a Dask scheduler: tcp://host:8786."),
    click.option(
        "--threads", type=click.IntRange(1), default=1, show_default=True,
        help="Torch threads per process; the number of threads affects the last digits.",
    ),
)  # fmt: skip


def spread(command: C) -> C:
    """Add the options --workers, --scheduler and --threads."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
