"""Cells to results: trains what is missing, attacks what is missing, keeps everything at once."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from hashbench import checks
from hashbench.cell import ADAPTIVE, Cell, Subject
from hashbench.checkpoints import Checkpoints, Helpers, model_key
from hashbench.codes import encode
from hashbench.data import RetrievalSplit, Victim
from hashbench.errors import BadOutput, BadParameter, CodeRaised, InvalidCell
from hashbench.evaluation import explain, judge, tensor_digest
from hashbench.model import HashModel
from hashbench.passes import Passes, counted
from hashbench.progress import track
from hashbench.protocols import Method
from hashbench.provenance import host_facts
from hashbench.savepoint import Savepoint, kept_at
from hashbench.store import Result, Store, Weights
from hashbench.targets import draw_targets
from hashbench.transformed import bare
from hashbench.types import Labels
from hashbench.victims import kept_victim


def run(
    cells: Sequence[Cell],
    store: Store,
    device: torch.device,
    *,
    fresh: bool = False,
    command: str = "",
    probing: bool = False,
) -> Iterator[Result]:
    """Measure cells in their order and yield each result as soon as it is stored.

    Stored cells and models are taken as they are, unless `fresh`. A cell whose attack or defense fails
    comes out invalid, with the reason, and the others go on. Every number depends on the cell alone:
    each training and each attack is seeded by what it is, not by when it runs. With `probing`, each
    defended model is probed after the cells, for `checks` to read from the store.
    """
    make_deterministic(device)
    bench = Bench(store, device, Checkpoints(store, store.clock() if fresh else None), command)
    valid = []
    for cell in track(cells, "total"):
        result = bench.result(cell)
        valid += [cell] if result.status == "valid" else []
        yield result
    for cell in track(checks.one_a_model(valid) if probing else (), "sanity"):
        bench.probe(cell)


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
        raise BadParameter(f"there is no device {name!r} here; try --device cpu or --device auto") from None
    return device


def make_deterministic(device: torch.device) -> None:
    """Make the same command give the same digits on a GPU too."""
    if device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.backends.cudnn.benchmark = False
        torch.backends.cudnn.allow_tf32 = False


def new_model(subject: Subject) -> HashModel:
    """An untrained model of a subject, on the CPU.

    Raises:
        BadParameter: the backbone takes no such images.
    """
    split = subject.split
    return HashModel(subject.backbone.call(subject.bits, split.channels, split.size), subject.bits)


@dataclass(frozen=True)
class Row:
    """A defended model ready to be attacked, with the facts that its cells share.

    `bare` is what an oblivious attacker takes it for: the victim without its transformation, if it has one.
    """

    victim: Victim
    bare: Victim
    facts: dict[str, Any]
    train_seconds: float | str

    def seen_by(self, cell: Cell, helpers: Helpers) -> Victim:
        """What the attacker of a cell works on, with its helpers at hand."""
        return replace(self.victim if cell.attacker == ADAPTIVE else self.bare, keep=helpers)


@dataclass
class Bench:
    """Models and data of one run, each made at most once."""

    store: Store
    device: torch.device
    checkpoints: Checkpoints
    command: str = ""
    splits: dict[str, RetrievalSplit] = field(default_factory=dict)
    last: dict[str, Row | InvalidCell] = field(default_factory=dict)
    undefended: dict[str, Victim] = field(default_factory=dict)

    def result(self, cell: Cell, failure: InvalidCell | None = None) -> Result:
        """A cell's result: from the store, or measured and stored, by one process at a time.

        Args:
            failure: why there is no defended model, where that is known.
        """
        stored = self.store.cell(cell.key, self.checkpoints.since)
        if stored:
            return stored
        with self.store.lock(cell.key, f"{cell.defense.label} under {cell.attack.label}"):
            stored = self.store.cell(cell.key, self.checkpoints.since)
            return stored or self.measure(cell, failure or self._row_once(cell))

    def probe(self, cell: Cell) -> Result | None:
        """What a probe shows of a cell's defended model: from the store, or measured and stored.

        None where there is no defended model; its cells say why.
        """
        key, since = checks.probe_key(cell), self.checkpoints.since
        stored = self.store.probe(key, since)
        if stored:
            return stored
        with self.store.lock(key, f"the probe of {cell.defense.label}"):
            stored = self.store.probe(key, since)
            row = None if stored else self._row_once(cell)
            return self._look(cell, row) if isinstance(row, Row) else stored

    def _look(self, cell: Cell, row: Row) -> Result:
        """Probe a defended model and store what comes out."""
        undefended = None if cell.defense.name == "none" else self._undefended(cell)
        host = host_facts(self.device, self.command)
        return self.store.save_probe(*checks.measure(cell, self.split(cell), row.victim, undefended, row.facts, host))

    def _undefended(self, cell: Cell) -> Victim:
        """The victim without its defense, kept until a cell of another one comes."""
        if cell.clean_key not in self.undefended:
            self.undefended.clear()
            self.undefended[cell.clean_key] = self._victim(cell, self._clean(cell), cell.clean_key, cell.clean_seed)
        return self.undefended[cell.clean_key]

    def train(self, cell: Cell, key: str) -> InvalidCell | None:
        """Train the clean or the defended model of a cell, named by its key; returns why it can't be trained."""
        try:
            self._clean(cell) if key == cell.clean_key else self._defended(cell)
        except InvalidCell as failure:
            return failure
        return None

    def _row_once(self, cell: Cell) -> Row | InvalidCell:
        """The row of a cell, kept until a cell of another row comes."""
        if cell.defended_key not in self.last:
            self.last.clear()
            self.last[cell.defended_key] = self.row(cell)
        return self.last[cell.defended_key]

    def row(self, cell: Cell) -> Row | InvalidCell:
        """The defended model of a cell with the codes of its database, or why there is none."""
        try:
            model = self._defended(cell)
            victim = taken_for = self._victim(cell, model, cell.defended_key, cell.defense_seed)
            if cell.defense.entry.tags["transforms"] == "yes":
                taken_for = self._victim(cell, bare(model), f"{cell.defended_key}, bare", cell.defense_seed)
        except InvalidCell as failure:
            return failure
        trained = self.store.facts(model_key(cell))
        facts = {
            "train_forwards": trained.get("train_forwards", ""),
            "train_backwards": trained.get("train_backwards", ""),
            "model_digest": tensor_digest(victim.model.state_dict()),
            "codes_digest": tensor_digest({"codes": victim.gallery.codes}),
        }
        return Row(victim, taken_for, facts, trained.get("train_seconds", ""))

    def _victim(self, cell: Cell, model: HashModel, name: str, seed: int) -> Victim:
        return kept_victim(model, self.split(cell), self.checkpoints, name, seed)

    def measure(self, cell: Cell, row: Row | InvalidCell) -> Result:
        """Attack the victim and store what comes out."""
        began = time.perf_counter()
        try:
            if isinstance(row, InvalidCell):
                raise row
            queries, helpers = self.split(cell).queries, Helpers(self.checkpoints, cell, row.victim.model)
            seen, targets = row.seen_by(cell, helpers), self.targets(cell)
            verdict = judge(cell.attack, row.victim, queries, cell.threat, cell.attack_seed, targets, seen)
        except InvalidCell as failure:
            facts = host_facts(self.device, self.command)
            result = Result(cell.key, cell.identity, {}, facts, "invalid", str(failure))
            return result if isinstance(failure, CodeRaised) else self.store.save_cell(result, {})
        numbers = {
            **verdict.numbers,
            **row.facts,
            "helper_forwards": helpers.passes.forwards / len(queries),
            "helper_backwards": helpers.passes.backwards / len(queries),
            "config_digest": cell.key,
        }
        seconds = {"attack_seconds": time.perf_counter() - began, "train_seconds": row.train_seconds}
        host = {**seconds, **host_facts(self.device, self.command)}
        return self.store.save_cell(Result(cell.key, cell.identity, numbers, host), verdict.arrays)

    def targets(self, cell: Cell) -> Labels | None:
        """The target labels of a targeted attack: the same for all of a data set and seed."""
        split = self.split(cell)
        targeted = cell.attack.goal == "targeted"
        return draw_targets(split.queries.labels, split.database.labels, cell.target_seed) if targeted else None

    def split(self, cell: Cell) -> RetrievalSplit:
        """The data of a cell, on the device."""
        split = cell.subject.split
        if split.digest not in self.splits:
            self.splits[split.digest] = split.to(self.device)
        return self.splits[split.digest]

    def _clean(self, cell: Cell) -> HashModel:
        """The undefended model, trained or loaded."""
        subject, train = cell.subject, self.split(cell).train
        torch.manual_seed(cell.clean_seed)
        model = new_model(subject).to(self.device)

        def make() -> HashModel:
            trained: HashModel = explain(
                f"method {subject.method.label}", subject.training.call, model, train, self._method(cell, model)
            )
            return trained

        return self._kept(cell, cell.clean_key, model, make)

    def _defended(self, cell: Cell) -> HashModel:
        """The defended model, trained or loaded; a defense that trains nothing is applied anew."""
        clean, train = self._clean(cell), self.split(cell).train

        def make() -> HashModel:
            torch.manual_seed(cell.defense_seed)
            method = self._method(cell, clean)
            model = explain(f"defense {cell.defense.label}", cell.defense.call, clean, train, method, cell.threat)
            if not isinstance(model, HashModel):
                raise BadOutput(f"defense {cell.defense.label} returned a {type(model).__name__}; return a HashModel")
            return model

        if cell.defense.entry.tags["trains"] == "no":
            return make()
        return self._kept(cell, cell.defended_key, clean, make)

    def _method(self, cell: Cell, model: HashModel) -> Method:
        train = self.split(cell).train
        method: Method = cell.subject.method.call(encode(model, train), train.labels.to(self.device))
        return method.to(self.device)

    def _kept(self, cell: Cell, key: str, start: HashModel, make: Callable[[], HashModel]) -> HashModel:
        """A model from the store; where it is not there, it is made and stored first.

        What comes back always went through the store, so that a resumed run sees the same weights.
        """

        def train() -> Weights:
            savepoint = Savepoint(self.store, key, Passes(), self.checkpoints.fresh)
            passes = savepoint.passes
            with counted(start, passes), kept_at(savepoint):
                model = make()
            savepoint.finish()
            size = len(cell.subject.split.train)
            facts = {
                "key": key,
                "train_seconds": savepoint.seconds,
                "train_forwards": passes.forwards / size,
                "train_backwards": passes.backwards / size,
            }
            return Weights(model.state_dict(), facts)

        what = f"the model {cell.subject.method.label}" if key == cell.clean_key else cell.defense.label
        weights = self.checkpoints.get(key, what, train)
        model = new_model(cell.subject).to(self.device)
        try:
            model.load_state_dict(weights.tensors)
        except RuntimeError:
            raise BadOutput(
                f"defense {cell.defense.label} changed the network's layers; register it with trains=False"
            ) from None
        return model.eval()
