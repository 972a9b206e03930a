"""The options of `hashbench run` that distribute it over processes and machines."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from hashbench.errors import BadParameter

if TYPE_CHECKING:
    from hashbench.running.cell import Cell
    from hashbench.running.request import Request
    from hashbench.running.store import Result, Store

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


def check_workers(workers: int | None, scheduler: str | None) -> None:
    """Check that the options for workers can be used.

    Raises:
        BadParameter: both --workers and --scheduler are given, or a library for them is not installed.
    """
    if workers is not None and scheduler is not None:
        raise BadParameter("--workers and --scheduler exclude each other; leave one of them out")
    for library, user in (("distributed", workers or scheduler), ("cryptography", workers)):
        if user is not None and find_spec(library) is None:
            raise BadParameter(
                f"--workers and --scheduler need Dask, and {library} is not installed; "
                "run pip install 'hashbench[cluster]'"
            )


def measure(
    requests: Sequence[Request], cells: Sequence[Cell], store: Store, *, workers: int | None, scheduler: str | None,
    threads: int, plugins: Sequence[Path], device: str, fresh: bool, certifying: bool, command: str,
) -> list[Result]:  # fmt: skip
    """Measure cells, probe and certify their models, in this process or on workers as the options say.

    Raises:
        BadParameter: the scheduler's address can't be read, or a worker can't carry out the request.
        ClusterLost: the scheduler can no longer be reached.
    """
    import torch

    from hashbench.running.runner import choose_device, run

    if workers is None and scheduler is None:
        torch.set_num_threads(threads)
        return list(
            run(
                cells, store, choose_device(device), fresh=fresh, command=command, probing=True, certifying=certifying,
                plugins=plugins,
            )
        )  # fmt: skip
    from hashbench.running import cluster

    job = cluster.Job(
        tuple(requests), tuple(path.resolve() for path in plugins), Path.cwd(), store.root.resolve(), device,
        store.clock() if fresh else None, command, threads, topic=f"hashbench-{secrets.token_hex(8)}",
    )  # fmt: skip
    with cluster.connected(workers, scheduler) as client:
        results = cluster.measure(client, job, cells, store)
        valid = [cell for cell, result in zip(cells, results, strict=True) if result.status == "valid"]
        cluster.probe(client, job, valid, store)
        if certifying:
            cluster.certify(client, job, cells, results, store)
        return results
