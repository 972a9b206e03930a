"""Connections to a Dask scheduler, and to a local cluster that lasts as long as a command."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dask
from distributed import Client, KilledWorker, LocalCluster, Security
from distributed.comm.addressing import get_address_host_port, parse_address

from hashbench.errors import BadParameter, ClusterLost
from hashbench.running.cluster import fork_server

CONNECT = 8  # seconds to reach a scheduler, at first and again
ENDING = 1  # seconds of a worker to leave its task when the command ends early, before it is killed
DEATHS = 20  # workers that may die under one task before it is given up


@contextmanager
def connected(workers: int | None, scheduler: str | None) -> Iterator[Client]:
    """A client of a scheduler that is there, or of a local cluster of worker processes that ends with the block.

    A scheduler runs whatever code it is sent. The local one listens on the loopback address only, and answers nobody
    who lacks a certificate that is made for this block and kept in memory.

    Raises:
        BadParameter: the scheduler's address can't be read.
        ClusterLost: nothing answers at the scheduler's address.
    """
    _check_address(scheduler)
    for name in [name for name in logging.root.manager.loggerDict if name.startswith("distributed")]:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    settings: dict[str, Any] = {
        "distributed.comm.timeouts.connect": CONNECT,
        "distributed.scheduler.allowed-failures": DEATHS,
        "distributed.worker.multiprocessing-method": fork_server.METHOD,
    }
    with dask.config.set(settings), contextlib.ExitStack() as stack:
        address: Any = scheduler
        if scheduler is None:
            fork_server.begin()
            stack.enter_context(fork_server.environment({}))  # Dask leaves variables behind
            cluster = stack.enter_context(
                LocalCluster(
                    n_workers=workers, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0",
                    memory_limit=None, silence_logs=logging.CRITICAL, security=Security.temporary(),
                    env=dict(os.environ),
                )
            )  # fmt: skip
            stack.enter_context(_ended_at_once(cluster))
            address = cluster
        try:
            client = Client(address, timeout=CONNECT, set_as_default=False)
        except OSError:
            raise ClusterLost(f"no scheduler answers at {scheduler}; start one with 'dask scheduler'") from None
        yield stack.enter_context(client)


@contextmanager
def _ended_at_once(cluster: LocalCluster) -> Iterator[None]:
    """A block whose failure, Ctrl-C among others, ends workers in the midst of a task, for which Dask waits seconds."""

    async def end() -> None:
        await asyncio.gather(*(worker.close(timeout=ENDING) for worker in cluster.workers.values()))

    try:
        yield
    except BaseException:
        with contextlib.suppress(TimeoutError):
            cluster.sync(end)
        raise


@contextmanager
def reached(store: Path) -> Iterator[None]:
    """Explain what ends the wait for a cluster's tasks.

    Args:
        store: the folder that keeps what was finished.

    Raises:
        ClusterLost: the scheduler is gone, or a task has killed one worker after the other.
    """
    try:
        yield
    except KilledWorker as error:
        raise ClusterLost(
            f"workers died one after the other under {error.task}; look at their memory and their logs"
        ) from None
    except (CancelledError, OSError, StopIteration):
        raise ClusterLost(
            f"the scheduler is gone; finished cells are kept in {store}, the same command goes on from there"
        ) from None


def _check_address(scheduler: str | None) -> None:
    try:
        if scheduler is not None:
            parse_address(scheduler, strict=True)
            get_address_host_port(scheduler, strict=True)
    except ValueError:
        raise BadParameter(f"can't read --scheduler={scheduler}; write an address such as tcp://host:8786") from None


def check_workers(client: Client) -> int:
    """Check that workers run one task at a time; how many they are now.

    Raises:
        BadParameter: one runs several.
    """
    workers = client.scheduler_info(n_workers=-1)["workers"]
    for address, worker in workers.items():
        if worker["nthreads"] > 1:
            raise BadParameter(
                f"the worker {address} runs {worker['nthreads']} tasks at once; start workers with --nthreads 1"
            )
    return len(workers)


def needs(client: Client, device: str) -> dict[str, int]:
    """A GPU for each task, where a GPU is asked for and workers say which of them have one."""
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    return {"GPU": 1} if device != "cpu" and any("GPU" in worker["resources"] for worker in workers) else {}
