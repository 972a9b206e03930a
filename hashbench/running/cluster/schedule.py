"""Cells, probes and certificates on a cluster's workers, each begun as soon as what it needs is there."""

from __future__ import annotations

import functools
import heapq
import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from distributed import Client, Future, as_completed

from hashbench.errors import InvalidCell
from hashbench.progress import relayed, track
from hashbench.running.cell import Cell
from hashbench.running.certificates import is_made, wanted_certificates
from hashbench.running.cluster import tasks
from hashbench.running.cluster.connection import check_workers, needs, reached
from hashbench.running.cluster.tasks import Job
from hashbench.running.probes import kept_probe, probe_key
from hashbench.running.runner import stored_result
from hashbench.running.store import Result, Store

CELLS, PROBES, CERTIFICATES = "cells", "probes", "certificates"


def measure(
    client: Client, job: Job, cells: Sequence[Cell], store: Store, *, own: bool, probing: bool, certifying: bool
) -> list[Result]:
    """The results of cells in their order, measured by a cluster's workers where the store lacks them.

    A model is probed once one of its cells is valid, and certified once all its cells are there, while the cells of
    other models go on.

    Args:
        own: the cluster is this command's own and has all its workers; a task is sent only when one of them is free.
            To other clusters all that can begin is sent, so that they know how many workers would be of use.
        probing: also probe the defended models.
        certifying: also certify them, where that takes no longer than their attacks did.

    Raises:
        ClusterLost: the scheduler is gone, or a task has killed one worker after the other.
        UsageError: a worker can't carry out the job.
    """
    workers = check_workers(client)
    show = relayed()
    client.subscribe_topic(job.topic, lambda event: show(event[1]))
    schedule = _Schedule(job, cells, store, client, max(1, workers), own, probing, certifying)
    with reached(store.root):
        schedule.work_off()
    return [schedule.results[cell.key] for cell in cells]


@dataclass(frozen=True)
class _Step:
    """A task that can begin.

    Args:
        kind: what a progress bar counts it as; nothing for a training.
        ended: is told the task's result.
    """

    kind: str
    function: Callable[..., Any]
    words: tuple[Any, ...]
    ended: Callable[[Any], object]


@dataclass
class _Schedule:
    job: Job
    cells: Sequence[Cell]
    store: Store
    client: Client
    workers: int
    own: bool
    probing: bool
    certifying: bool
    results: dict[str, Result] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.of_model: dict[str, list[Cell]] = {}
        for cell in self.cells:
            self.of_model.setdefault(probe_key(cell), []).append(cell)
        self.places = {key: place for place, key in enumerate(self.of_model)}
        self.probed: set[str] = set()
        self.trained: dict[str, InvalidCell | None] = {}
        self.after: dict[str, list[Callable[[InvalidCell | None], None]]] = {}
        self.ready: list[tuple[float, int, _Step]] = []
        self.number = itertools.count()
        self.running: dict[Future[Any], _Step] = {}
        self.finished = as_completed(loop=self.client.loop)
        self.known: Counter[str] = Counter()
        self.done: Counter[str] = Counter()
        self.needs = needs(self.client, self.job.device)

    def work_off(self) -> None:
        """Do all work that the store lacks."""
        since = self.job.since
        self.results = {cell.key: found for cell in self.cells if (found := stored_result(cell, self.store, since))}
        self.known[CELLS], self.done[CELLS] = len(self.cells), len(self.results)
        for cells in self.of_model.values():
            if missing := [cell for cell in cells if cell.key not in self.results]:
                self._prepare(missing)
            self._follow(cells)
        for kind in (CELLS, PROBES, CERTIFICATES):
            for step in track(range(self.known[kind]), kind):
                while self.done[kind] <= step:
                    self._go_on()

    def _prepare(self, cells: Sequence[Cell]) -> None:
        """Train a model's undefended and defended weights in turn, then measure its cells.

        A training comes before cells of as many earlier models as there are other workers, so that no worker waits for
        one that could have begun sooner.
        """
        keys = [cells[0].clean_key, cells[0].defended_key] if cells[0].defense.entry.trains else [cells[0].clean_key]
        place = self.places[probe_key(cells[0])]

        def train(rest: Sequence[str], failure: InvalidCell | None) -> None:
            if not rest:
                for cell in cells:
                    words = self.job, cell.key, failure
                    self._add(place, _Step(CELLS, tasks.measure, words, functools.partial(self._measured, cell)))
                return
            key, go_on = rest[0], functools.partial(train, rest[1:])
            if key in self.trained:
                go_on(self.trained[key])
            elif key in self.after:
                self.after[key].append(go_on)
            else:
                self.after[key] = [go_on]
                step = _Step(
                    "", tasks.train, (self.job, cells[0].key, key, failure), functools.partial(self._end_training, key)
                )  # fmt: skip
                self._add(place + 0.5 - self.workers, step)

        train(keys, None)

    def _end_training(self, key: str, failure: InvalidCell | None) -> None:
        self.trained[key] = failure
        for go_on in self.after.pop(key):
            go_on(failure)

    def _measured(self, cell: Cell, result: Result) -> None:
        self.results[cell.key] = result
        self._follow(self.of_model[probe_key(cell)])

    def _follow(self, cells: Sequence[Cell]) -> None:
        """Add what follows a model's cells that are finished, if they are enough for it and the store lacks it.

        The first valid cell stands for the model, whichever cell is finished first.
        """
        if self.probing:
            for cell in cells:
                result = self.results.get(cell.key)
                if result is None:
                    break
                if result.status == "valid":
                    self._probe(cell)
                    break
        if self.certifying and all(cell.key in self.results for cell in cells):
            for one in wanted_certificates(cells, [self.results[cell.key] for cell in cells]):
                if not is_made(self.store.certificate(one.key, self.job.since), one):
                    words = self.job, one.cell.key, one.goal, one.model_digest, one.seconds
                    self._add(self.places[probe_key(one.cell)], _Step(CERTIFICATES, tasks.certify, words, _nothing))

    def _probe(self, cell: Cell) -> None:
        key = probe_key(cell)
        if key not in self.probed and not kept_probe(cell, self.store, self.job.since):
            self._add(self.places[key], _Step(PROBES, tasks.probe, (self.job, cell.key), _nothing))
        self.probed.add(key)

    def _add(self, place: float, step: _Step) -> None:
        if step.kind != CELLS:
            self.known[step.kind] += 1
        heapq.heappush(self.ready, (place, next(self.number), step))

    def _go_on(self) -> None:
        """Send what can begin, and wait for the end of one task."""
        while self.ready and (not self.own or len(self.running) < self.workers):
            place, _, step = heapq.heappop(self.ready)
            future = self.client.submit(
                step.function, *step.words, pure=False, resources=self.needs, priority=-place
            )  # fmt: skip
            self.running[future] = step
            self.finished.add(future)
        future = next(self.finished)
        step = self.running.pop(future)
        step.ended(future.result())
        self.done[step.kind] += 1


def _nothing(result: None) -> None:
    """What is done with the result of a task that has none."""
