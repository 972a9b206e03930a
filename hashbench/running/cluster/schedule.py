"""Cells, probes and certificates on a cluster's workers, each begun as soon as what it needs is there."""

from __future__ import annotations

import functools
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
from hashbench.running.probes import probe_key
from hashbench.running.runner import stored_result
from hashbench.running.store import Result, Store


def measure(
    client: Client, job: Job, cells: Sequence[Cell], store: Store, *, probing: bool, certifying: bool
) -> list[Result]:
    """The results of cells in their order, measured by a cluster's workers where the store lacks them.

    A model is probed once one of its cells is valid, and certified once all its cells are there, while the cells of
    other models go on.

    Args:
        probing: also probe the defended models.
        certifying: also certify them, where that takes no longer than their attacks did.

    Raises:
        ClusterLost: the scheduler is gone, or a task has killed one worker after the other.
        UsageError: a worker can't carry out the job.
    """
    check_workers(client)
    show = relayed()
    client.subscribe_topic(job.topic, lambda event: show(event[1]))
    submit = functools.partial(client.submit, pure=False, resources=needs(client, job.device))
    schedule = _Schedule(job, cells, store, submit, probing, certifying)
    with reached(store.root):
        schedule.work_off(client)
    return [schedule.results[cell.key] for cell in cells]


@dataclass
class _Schedule:
    job: Job
    cells: Sequence[Cell]
    store: Store
    submit: Callable[..., Future[Any]]
    probing: bool
    certifying: bool
    results: dict[str, Result] = field(default_factory=dict)
    probes: list[Future[None]] = field(default_factory=list)
    certificates: list[Future[None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.of_model: dict[str, list[Cell]] = {}
        for cell in self.cells:
            self.of_model.setdefault(probe_key(cell), []).append(cell)
        self.probed: set[str] = set()

    def work_off(self, client: Client) -> None:
        """Submit all work, and wait for it."""
        since = self.job.since
        self.results = {cell.key: found for cell in self.cells if (found := stored_result(cell, self.store, since))}
        begun, stored = self._cells([cell for cell in self.cells if cell.key not in self.results]), len(self.results)
        for cells in self.of_model.values():
            self._follow(cells)
        finished = as_completed(list(begun), loop=client.loop)
        for step in track(range(len(self.cells)), "cells"):
            if step >= stored:
                future = next(finished)
                cell = begun[future]
                self.results[cell.key] = future.result()
                self._follow(self.of_model[probe_key(cell)])
        for name, futures in (("probes", self.probes), ("certificates", self.certificates)):
            finished = as_completed(futures, loop=client.loop)
            for _ in track(range(len(futures)), name):
                next(finished).result()

    def _cells(self, cells: Sequence[Cell]) -> dict[Future[Result], Cell]:
        """Submit clean models, defended models and cells, each after the former; the future of each cell."""
        models: dict[str, Future[InvalidCell | None]] = {}
        begun = {}
        for cell in cells:
            before = None
            steps = [cell.clean_key, cell.defended_key] if cell.defense.entry.trains else [cell.clean_key]
            for key in steps:
                if key not in models:
                    models[key] = self.submit(tasks.train, self.job, cell.key, key, before)
                before = models[key]
            begun[self.submit(tasks.measure, self.job, cell.key, before)] = cell
        return begun

    def _follow(self, cells: Sequence[Cell]) -> None:
        """Submit what follows a model's cells that are finished, if they are enough for it and the store lacks it.

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
                    wanted = one.cell.key, one.goal, one.model_digest, one.seconds
                    self.certificates.append(self.submit(tasks.certify, self.job, *wanted))

    def _probe(self, cell: Cell) -> None:
        key = probe_key(cell)
        if key not in self.probed and not self.store.probe(key, self.job.since):
            self.probes.append(self.submit(tasks.probe, self.job, cell.key))
        self.probed.add(key)
