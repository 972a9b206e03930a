"""Cells on the workers of a Dask cluster: clean model, defended model, cells, each kept in the shared store."""

from __future__ import annotations

import contextlib
import functools
import logging
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dask
import numpy as np
import torch
from distributed import Client, Future, KilledWorker, LocalCluster, Security, as_completed, get_worker
from distributed.comm.addressing import get_address_host_port, parse_address

from hashbench.errors import BadParameter, ClusterLost, InvalidCell
from hashbench.metrics.distance_counts import Counts, count
from hashbench.metrics.packed_codes import Bits
from hashbench.progress import Relay, relayed, shown_on, track
from hashbench.registry import entries
from hashbench.running.cell import Cell
from hashbench.running.certificates import WantedCertificate, is_made, wanted_certificates
from hashbench.running.probes import one_a_model, probe_key
from hashbench.running.request import Request, all_cells, load_once
from hashbench.running.runner import Runner, choose_device, make_deterministic
from hashbench.running.store import Result, Store

CONNECT = 8  # seconds to reach a scheduler, at first and again
DEATHS = 20  # workers that may die under one task before it is given up

# Workers keep the memory that they free. Dask lets them give it back at once, and a training that asks for the same
# tensors again spends half its time in the kernel.
SPAWN = "distributed.nanny.pre-spawn-environ"
KEPT = {"MALLOC_ARENA_MAX": 1, "MALLOC_MMAP_THRESHOLD_": 1 << 30, "MALLOC_TRIM_THRESHOLD_": 1 << 30}

# Torch's random state and thread count belong to a process: its tasks run one after the other.
_alone = threading.Lock()
_load = load_once()


@dataclass(frozen=True)
class Job:
    """What a worker needs to make any cell of a command: words and paths, no data.

    Args:
        folder: the command's working folder, against which relative paths in words are read.
        since: with --fresh, the store's time at the command's start; what is older is made again.
        threads: torch threads of each process.
        topic: the name under which workers tell the command what they begin and end.
    """

    requests: tuple[Request, ...]
    plugins: tuple[Path, ...]
    folder: Path
    store: Path
    device: str
    since: float | None
    command: str
    threads: int
    topic: str


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
    settings = {"distributed.comm.timeouts.connect": CONNECT, "distributed.scheduler.allowed-failures": DEATHS}
    settings |= {f"{SPAWN}.{name}": value for name, value in KEPT.items()}
    with dask.config.set(settings), contextlib.ExitStack() as stack:
        address: Any = scheduler
        if scheduler is None:
            address = stack.enter_context(
                LocalCluster(
                    n_workers=workers, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0",
                    memory_limit=None, silence_logs=logging.CRITICAL, security=Security.temporary(),
                )
            )  # fmt: skip
        try:
            client = Client(address, timeout=CONNECT, set_as_default=False)
        except OSError:
            raise ClusterLost(f"no scheduler answers at {scheduler}; start one with 'dask scheduler'") from None
        yield stack.enter_context(client)


def measure(client: Client, job: Job, cells: Sequence[Cell], store: Store) -> list[Result]:
    """The results of cells in their order, measured by a cluster's workers where the store lacks them.

    Raises:
        ClusterLost: the scheduler is gone, or a task has killed one worker after the other.
        UsageError: a worker can't carry out the job.
    """
    _check_workers(client)
    _listen(client, job)
    results = {cell.key: stored for cell in cells if (stored := store.cell(cell.key, job.since))}
    tasks = _submit(client, job, [cell for cell in cells if cell.key not in results])
    with _reached(store):
        finished = as_completed(list(tasks), loop=client.loop)
        for step in track(range(len(cells)), "cells"):
            if step >= len(results):
                future = next(finished)
                results[tasks[future]] = future.result()
    return [results[cell.key] for cell in cells]


def probe(client: Client, job: Job, cells: Sequence[Cell], store: Store) -> None:
    """Probe the cells' defended models on workers, where the store lacks their probes; raises what `measure` does."""
    lacking = [cell for cell in one_a_model(cells) if not store.probe(probe_key(cell), job.since)]
    _spread(client, job, store, "probes", [(_probe, cell.key) for cell in lacking])


def certify(client: Client, job: Job, cells: Sequence[Cell], results: Sequence[Result], store: Store) -> None:
    """Certify the cells' defended models on workers, where the store lacks their certificates, as `probe` does."""
    wanted = wanted_certificates(cells, results)
    lacking = [one for one in wanted if not is_made(store.certificate(one.key, job.since), one)]
    given = [(_certify, one.cell.key, one.goal, one.model_digest, one.seconds) for one in lacking]
    _spread(client, job, store, "certificates", given)


def _spread(client: Client, job: Job, store: Store, name: str, calls: Sequence[tuple[Any, ...]]) -> None:
    """Call functions with the job and their arguments on workers, and wait until all have returned."""
    _listen(client, job)
    submit = functools.partial(client.submit, pure=False, resources=_needs(client, job.device))
    tasks = [submit(function, job, *given) for function, *given in calls]
    with _reached(store):
        finished = as_completed(tasks, loop=client.loop)
        for _ in track(range(len(tasks)), name):
            next(finished).result()


@contextmanager
def _reached(store: Store) -> Iterator[None]:
    """Explain what ends the wait for a cluster's tasks."""
    try:
        yield
    except KilledWorker as error:
        raise ClusterLost(
            f"workers died one after the other under {error.task}; look at their memory and their logs"
        ) from None
    except (CancelledError, OSError, StopIteration):
        raise ClusterLost(
            f"the scheduler is gone; finished cells are kept in {store.root}, the same command goes on from there"
        ) from None


def count_on(
    client: Client, query_codes: Bits, query_labels: Bits, codes: Bits, labels: Bits, *, shards: int = 8
) -> Counts:
    """`hamming.count` on a cluster: each worker counts parts of the database, and the counts add up.

    Args:
        query_codes: [queries, bits].
        query_labels: [queries, classes].
        codes: [items, bits].
        labels: [items, classes].
        shards: parts of the database.
    """
    queries = client.scatter([query_codes, query_labels], broadcast=True)
    parts = zip(np.array_split(codes, shards), np.array_split(labels, shards), strict=True)
    counted = [client.submit(count, *queries, *client.scatter(list(part)), pure=False) for part in parts]
    first, *others = client.gather(counted)
    whole: Counts = functools.reduce(Counts.__add__, others, first)
    return whole


def _submit(client: Client, job: Job, cells: Sequence[Cell]) -> dict[Future[Result], str]:
    """Submit the graph of cells; returns the future of each cell with the cell's key."""
    submit = functools.partial(client.submit, pure=False, resources=_needs(client, job.device))
    models: dict[str, Future[InvalidCell | None]] = {}
    tasks = {}
    for cell in cells:
        before = None
        steps = [cell.clean_key, cell.defended_key] if cell.defense.entry.trains else [cell.clean_key]
        for key in steps:
            if key not in models:
                models[key] = submit(_train, job, cell.key, key, before)
            before = models[key]
        tasks[submit(_measure, job, cell.key, before)] = cell.key
    return tasks


def _listen(client: Client, job: Job) -> None:
    """Show what the workers begin and end."""
    show = relayed()
    client.subscribe_topic(job.topic, lambda event: show(event[1]))


def _check_address(scheduler: str | None) -> None:
    try:
        if scheduler is not None:
            parse_address(scheduler, strict=True)
            get_address_host_port(scheduler, strict=True)
    except ValueError:
        raise BadParameter(f"can't read --scheduler {scheduler}; write an address such as tcp://host:8786") from None


def _check_workers(client: Client) -> None:
    for address, worker in client.scheduler_info(n_workers=-1)["workers"].items():
        if worker["nthreads"] > 1:
            raise BadParameter(
                f"the worker {address} runs {worker['nthreads']} tasks at once; start workers with --nthreads 1"
            )


def _needs(client: Client, device: str) -> dict[str, int]:
    """A GPU for each task, where a GPU is asked for and workers say which of them have one."""
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    return {"GPU": 1} if device != "cpu" and any("GPU" in worker["resources"] for worker in workers) else {}


def _train(job: Job, cell_key: str, model_key: str, failure: InvalidCell | None) -> InvalidCell | None:
    """Train or find a cell's clean or defended model; returns why there is none."""
    with _at_work(job):
        cell, runner = _cell(job, cell_key), _runner(job)
        return failure or runner.victims.train(cell, model_key)


def _measure(job: Job, cell_key: str, failure: InvalidCell | None) -> Result:
    with _at_work(job):
        cell, runner = _cell(job, cell_key), _runner(job)
        return runner.result(cell, failure)


def _probe(job: Job, cell_key: str) -> None:
    with _at_work(job):
        _runner(job).probe(_cell(job, cell_key))


def _certify(job: Job, cell_key: str, goal: str, model_digest: str, seconds: float) -> None:
    with _at_work(job):
        _runner(job).certify(WantedCertificate(_cell(job, cell_key), goal, model_digest, seconds))


@contextmanager
def _at_work(job: Job) -> Iterator[None]:
    tell = functools.partial(get_worker().log_event, job.topic)
    with _alone, shown_on(jobs=Relay(tell)):
        torch.set_num_threads(job.threads)
        try:
            move = contextlib.chdir(job.folder)
            move.__enter__()
        except OSError:
            raise BadParameter(
                f"a worker can't reach the folder {job.folder}; share it between the machines, or run elsewhere"
            ) from None
        try:
            yield
        finally:
            move.__exit__(None, None, None)


def _cell(job: Job, key: str) -> Cell:
    try:
        return _cells(job)[key]
    except KeyError:
        raise BadParameter(
            "a worker has another version of hashbench, of a plugin or of the data than this command; "
            "make them the same and start the workers anew"
        ) from None


@functools.lru_cache(maxsize=1)
def _cells(job: Job) -> dict[str, Cell]:
    for path in job.plugins:
        _plugin(path)
    return {cell.key: cell for cell in all_cells([request.resolve() for request in job.requests], _load)}


@functools.cache
def _plugin(path: Path) -> None:
    entries.load_plugin(path)


@functools.lru_cache(maxsize=1)
def _runner(job: Job) -> Runner:
    device = choose_device(_own_device(job.device))
    make_deterministic(device)
    return Runner(Store(job.store), device, job.since, job.command, job.plugins)


def _own_device(name: str) -> str:
    """A GPU of its own for each worker of a local cluster, whose names are numbers."""
    number = get_worker().name
    shared = name in ("auto", "cuda") and torch.cuda.device_count() > 1 and isinstance(number, int)
    return f"cuda:{number % torch.cuda.device_count()}" if shared else name
