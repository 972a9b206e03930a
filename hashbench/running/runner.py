"""Cells to results: trains what is missing, attacks what is missing, stores everything at once."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from hashbench.errors import BadParameter, CodeRaised, InvalidCell, WroteInto
from hashbench.evaluation.judge import judge_crafted
from hashbench.progress import job, track
from hashbench.registry.short_labels import cell_name, defense_name
from hashbench.running.cell import Cell, column_name
from hashbench.running.certificates import WantedCertificate, certify_model, is_made, wanted_certificates
from hashbench.running.checkpoints import Checkpoints
from hashbench.running.clean_room.inspection import InspectedCell, needs_room, some, was_inspected
from hashbench.running.clean_room.rooms import CleanRooms
from hashbench.running.probes import kept_probe, measure, one_a_model, probe_key
from hashbench.running.provenance import host_facts
from hashbench.running.store import Result, Store
from hashbench.running.victims import DefendedModel, Victims


def run(
    cells: Sequence[Cell],
    store: Store,
    device: torch.device,
    *,
    fresh: bool = False,
    command: str = "",
    probing: bool = False,
    certifying: bool = False,
    plugins: Sequence[Path] = (),
) -> Iterator[Result]:
    """Measure cells in their order and yield each result as soon as it is stored.

    Stored cells and models are taken as they are, unless `fresh`. A cell whose attack or defense fails
    comes out invalid, with the reason, and the others go on. Every number depends on the cell alone:
    each training and each attack is seeded by what it is, not by when it runs. With `probing`, each
    defended model is probed after the cells, for tables to read from the store; with `certifying`, it is
    certified too, where that takes no longer than its attacks did. Models with code of `plugins` are also made
    again in processes of their own, to see whether they give the same codes there.
    """
    make_deterministic(device)
    runner = Runner(store, device, store.clock() if fresh else None, command, tuple(plugins))
    results = []
    for cell in track(cells, "cells"):
        results.append(runner.result(cell))
        yield results[-1]
    valid = [cell for cell, result in zip(cells, results, strict=True) if result.status == "valid"]
    for cell in track(one_a_model(valid) if probing else (), "probes"):
        runner.probe(cell)
    for wanted in track(wanted_certificates(cells, results) if certifying else (), "certificates"):
        runner.certify(wanted)


def stored_result(cell: Cell, store: Store, since: float | None) -> Result | None:
    """A cell's result from the store, with the trials that its defense was chosen by now; None if it has none.

    Args:
        since: the store's time at the start of a fresh run, to which older results do not count.
    """
    stored = store.cell(cell.key, since)
    if stored and stored.status == "valid" and needs_room(cell) and not was_inspected(stored.numbers):
        return None
    return stored and replace(stored, identity=cell.identity)


def nothing_left(cells: Sequence[Cell], store: Store, *, probing: bool, certifying: bool) -> bool:
    """Whether the store has all results, probes and certificates that `run` would make."""
    found = [stored_result(cell, store, None) for cell in cells]
    results = [result for result in found if result]
    if len(results) < len(cells):
        return False
    valid = [cell for cell, result in zip(cells, results, strict=True) if result.status == "valid"]
    probes = one_a_model(valid) if probing else []
    certificates = wanted_certificates(cells, results) if certifying else []
    return all(kept_probe(cell, store) for cell in probes) and all(
        is_made(store.certificate(wanted.key), wanted) for wanted in certificates
    )


def choose_device(name: str) -> torch.device:
    """The device of a name; `auto` is a GPU where there is one.

    Raises:
        BadParameter: the device is not there.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError):
        raise BadParameter(f"there is no device {name!r} here; take cpu or auto") from None
    return device


def make_deterministic(device: torch.device) -> None:
    """Make the same command give the same digits on a GPU too; one of several becomes the current one, ART's choice."""
    if device.type == "cuda":
        if device.index is not None:
            torch.cuda.set_device(device)
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.backends.cudnn.benchmark = False
        torch.backends.cudnn.allow_tf32 = False


@dataclass
class Runner:
    """Measures cells and probes models, each from the store, or made and stored by one process at a time.

    Args:
        since: the store's time at the start of a fresh run, which makes again what is older.
        command: what results name as the command that made them.
        plugins: files that processes of their own load before they make a model again.
    """

    store: Store
    device: torch.device
    since: float | None = None
    command: str = ""
    plugins: tuple[Path, ...] = ()
    rooms: CleanRooms = field(default_factory=CleanRooms)

    def __post_init__(self) -> None:
        self.victims = Victims(Checkpoints(self.store, self.since), self.device)

    def result(self, cell: Cell, failure: InvalidCell | None = None) -> Result:
        """A cell's result: from the store, or measured and stored.

        Args:
            failure: why there is no defended model, where that is known.
        """
        stored = self.stored(cell)
        if stored:
            return stored
        name = cell_name(cell.defense.label, column_name(cell.attack.label, cell.attacker))
        with self.store.lock(cell.key, name):
            stored = self.stored(cell)
            if stored:
                return stored
            model = failure or self.victims.defended(cell)
            with job(f"{name}, {cell.place}", step=True):
                return self._measure(cell, model)

    def stored(self, cell: Cell) -> Result | None:
        """A cell's result from the store, see `stored_result`."""
        return stored_result(cell, self.store, self.since)

    def probe(self, cell: Cell) -> Result | None:
        """What a probe shows of a cell's defended model: from the store, or measured and stored.

        None where there is no defended model, or no undefended one to hold it against; their cells say why.
        """
        stored = kept_probe(cell, self.store, self.since)
        if stored:
            return stored
        with self.store.lock(probe_key(cell), f"the probe of {defense_name(cell.defense.label)}"):
            stored = kept_probe(cell, self.store, self.since)
            model = None if stored else self.victims.defended(cell)
            return self._probe(cell, model) if isinstance(model, DefendedModel) else stored

    def certify(self, wanted: WantedCertificate) -> Result | None:
        """A certificate: from the store, or made and stored; one that there can't be has its reason.

        None where there is no defended model; its cells say why.
        """
        cell, key = wanted.cell, wanted.key
        stored = self.store.certificate(key, self.since)
        if is_made(stored, wanted):
            return stored
        with self.store.lock(key, f"the certificate of {defense_name(cell.defense.label)}"):
            stored = self.store.certificate(key, self.since)
            model = None if is_made(stored, wanted) else self.victims.defended(cell)
            if not isinstance(model, DefendedModel):
                return stored
            host, split = host_facts(self.device, self.command), self.victims.split(cell)
            with job(f"certificate of {defense_name(cell.defense.label)}, {cell.place}", step=True):
                return self.store.save_certificate(*certify_model(wanted, split, model, host))

    def _probe(self, cell: Cell, model: DefendedModel) -> Result | None:
        try:
            undefended = None if cell.defense.name == "none" else self.victims.undefended(cell)
        except InvalidCell:
            return None
        host, split = host_facts(self.device, self.command), self.victims.split(cell)
        with job(f"probe of {defense_name(cell.defense.label)}, {cell.place}", step=True):
            return self.store.save_probe(*measure(cell, split, model.victim, undefended, model.facts, host))

    def _measure(self, cell: Cell, model: DefendedModel | InvalidCell) -> Result:
        """Attack the victim and store what comes out."""
        began = time.perf_counter()
        try:
            if isinstance(model, InvalidCell):
                raise model
            attack = self.victims.prepare(cell, model)
            watched = self._watched(cell, model)
            found = judge_crafted(
                watched.noting(attack.craft) if watched else attack.craft, model.victim, attack.queries,
                cell.attack_seed, targets=attack.targets, seen=attack.seen, name=f"attack {cell.attack.label}",
                threat=cell.threat,
            )  # fmt: skip
            seconds = {"attack_seconds": time.perf_counter() - began, "train_seconds": model.train_seconds}
            again = watched.numbers(model.victim, found.arrays) if watched else {}
        except InvalidCell as failure:
            if isinstance(failure, WroteInto):
                self.victims.forget()
            facts = host_facts(self.device, self.command)
            result = Result(cell.key, cell.identity, {}, facts, "invalid", str(failure))
            return result if isinstance(failure, CodeRaised) else self.store.save_cell(result, {})
        numbers = {
            **found.numbers,
            **model.facts,
            **again,
            "helper_forwards": attack.helpers.passes.forwards / len(attack.queries),
            "helper_backwards": attack.helpers.passes.backwards / len(attack.queries),
            "config_digest": cell.key,
        }
        host = {**seconds, **host_facts(self.device, self.command)}
        return self.store.save_cell(Result(cell.key, cell.identity, numbers, host), found.arrays)

    def _watched(self, cell: Cell, model: DefendedModel) -> InspectedCell | None:
        """What keeps some of a cell's crafted queries for a process of its own, where the model needs one.

        Only rows of boards have a flag for codes that can't be reproduced: trials and studies need no such process.
        """
        if cell.subject.queries != "queries" or not needs_room(cell):
            return None
        rows = some(len(cell.subject.split.queries))
        return InspectedCell(
            cell, self.rooms, self.store.root, self.plugins, self.device, rows, model_seconds=model.made_seconds
        )
