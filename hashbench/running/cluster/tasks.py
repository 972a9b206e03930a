"""What workers do: train, attack, probe and certify one model each, into the shared store."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from distributed import get_worker

from hashbench.errors import BadParameter, InvalidCell
from hashbench.progress import Relay, shown_on
from hashbench.registry import entries
from hashbench.running.cell import Cell
from hashbench.running.certificates import WantedCertificate
from hashbench.running.request import Request, all_cells, load_once
from hashbench.running.runner import Runner, choose_device, make_deterministic
from hashbench.running.store import Result, Store

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


def train(job: Job, cell_key: str, model_key: str, failure: InvalidCell | None) -> InvalidCell | None:
    """Train a cell's clean or defended model, or find it; returns why there is none."""
    with _at_work(job):
        cell, runner = _cell(job, cell_key), _runner(job)
        return failure or runner.victims.train(cell, model_key)


def measure(job: Job, cell_key: str, failure: InvalidCell | None) -> Result:
    """A cell's result.

    Args:
        failure: why there is no defended model, where that is known.
    """
    with _at_work(job):
        cell, runner = _cell(job, cell_key), _runner(job)
        return runner.result(cell, failure)


def probe(job: Job, cell_key: str) -> None:
    """Probe a cell's defended model."""
    with _at_work(job):
        _runner(job).probe(_cell(job, cell_key))


def certify(job: Job, cell_key: str, goal: str, model_digest: str, seconds: float) -> None:
    """Certify a cell's defended model, see `WantedCertificate`."""
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
