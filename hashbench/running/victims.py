"""Models on their way from a cell to a victim: trained or loaded, with the codes of their databases."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from hashbench.crafting.targets import draw_targets
from hashbench.errors import BadOutput, InvalidCell, WroteInto
from hashbench.evaluation.foreign_code import defend, explain, explain_early, new_network
from hashbench.evaluation.judge import CraftAt, crafter, make_victim
from hashbench.models.codes import encode
from hashbench.models.data import Gallery, ImageSet, RetrievalSplit, Victim
from hashbench.models.model import HashModel, unwritten
from hashbench.models.pass_counter import Passes, counted
from hashbench.models.transformed import bare
from hashbench.models.weight_files import tensor_digest
from hashbench.progress import job
from hashbench.registry.protocols import Method
from hashbench.registry.tracks import UNLABELLED
from hashbench.running.cell import ADAPTIVE, Cell, Subject
from hashbench.running.checkpoints import Checkpoints, Helpers, bare_name, kept_victim, model_key
from hashbench.running.store import StoredTensors
from hashbench.seeds import seed_all
from hashbench.training.resume import Savepoint, kept_at
from hashbench.training.unlabelled import unlabelled_at_hand
from hashbench.types import Labels


def new_model(subject: Subject) -> HashModel:
    """An untrained model of a subject, on the CPU.

    Raises:
        BadParameter, CodeRaised, BadOutput: as of `new_network`.
    """
    return new_network(subject.backbone, subject.bits, subject.split.channels, subject.split.size)


@dataclass(frozen=True)
class DefendedModel:
    """A defended model ready to be attacked, with the facts that its cells share.

    `bare` is what an oblivious attacker takes it for: the victim without its transformation, if it has one.
    `made_seconds` is how long it took to make or load it.
    """

    victim: Victim
    bare: Victim
    facts: dict[str, Any]
    train_seconds: float | str
    made_seconds: float = 0.0


@dataclass(frozen=True)
class PreparedAttack:
    """A cell's attack on its victim: what crafts queries at some positions, and by which labels they are judged.

    Attributes:
        targets: target labels [queries, classes] of a targeted attack.
        seen: the victim as the attacker sees it.
    """

    craft: CraftAt
    queries: ImageSet
    targets: Labels | None
    seen: Victim
    helpers: Helpers

    @property
    def wanted(self) -> Labels:
        """The labels that retrieval is judged by [queries, classes]: the targets, or the queries' own."""
        return self.queries.labels if self.targets is None else self.targets


@dataclass
class Victims:
    """The models and data of one run, each made at most once."""

    checkpoints: Checkpoints
    device: torch.device
    splits: dict[str, RetrievalSplit] = field(default_factory=dict)
    last: dict[str, DefendedModel | InvalidCell] = field(default_factory=dict)
    last_undefended: dict[str, Victim] = field(default_factory=dict)

    def split(self, cell: Cell) -> RetrievalSplit:
        """The data of a cell, on the device; what plugins are given of it are copies, which `forget` drops."""
        split = cell.subject.split
        if split.digest not in self.splits:
            there = split.to(self.device)
            own = there.train if there.train.labels is not split.train.labels else there.train.copied()
            self.splits[split.digest] = replace(there, train=own)
        return self.splits[split.digest]

    def forget(self) -> None:
        """Drop all models and data, which a plugin has written into; they are made anew from the store and the data."""
        for kept in (self.splits, self.last, self.last_undefended):
            kept.clear()

    def defended(self, cell: Cell) -> DefendedModel | InvalidCell:
        """The defended model of a cell, or why there is none; remembered until a cell of another model comes."""
        if cell.defended_key not in self.last:
            self.remember(cell, self.make(cell))
        return self.last[cell.defended_key]

    def remember(self, cell: Cell, model: DefendedModel | InvalidCell) -> None:
        """Take a model for that of a cell, in place of the one remembered so far."""
        self.last.clear()
        self.last[cell.defended_key] = model

    def undefended(self, cell: Cell) -> Victim:
        """The victim without its defense, remembered until a cell of another one comes."""
        if cell.clean_key not in self.last_undefended:
            self.last_undefended.clear()
            victim = self._victim(cell, self._clean(cell), cell.clean_key, cell.clean_seed)
            self.last_undefended[cell.clean_key] = victim
        return self.last_undefended[cell.clean_key]

    def model(self, cell: Cell) -> HashModel:
        """The defended model of a cell alone, trained or loaded, without the codes of its database.

        Raises:
            InvalidCell: it can't be made.
        """
        return self._defended(cell)

    def untrained(self, cell: Cell) -> DefendedModel:
        """The model of a defense that brings its own weights, made from an untrained network; nothing is stored.

        Raises:
            InvalidCell: it can't be made.
        """
        split = self.split(cell)
        seed_all(cell.clean_seed)
        start = new_model(cell.subject).to(self.device)
        model = self._apply(cell, start, self._method(cell, start))
        weights = tensor_digest(model.state_dict())
        victim = make_victim(model.eval(), split.train, split.database)
        return DefendedModel(victim, victim, model_digests(weights, victim), "")

    def train(self, cell: Cell, key: str) -> InvalidCell | None:
        """Train the undefended or the defended model of a cell, named by its key; returns why it can't be trained."""
        try:
            self._clean(cell) if key == cell.clean_key else self._defended(cell)
        except InvalidCell as failure:
            return failure
        return None

    def prepare(self, cell: Cell, model: DefendedModel) -> PreparedAttack:
        """A cell's attack on its defended model, as it was or will be measured.

        Raises:
            InvalidCell: the attack raises, or a query has no target.
        """
        split, helpers = self.split(cell), Helpers(self.checkpoints, cell, model.victim.model)
        taken_for = model.victim if cell.attacker == ADAPTIVE else model.bare
        gallery = Gallery(taken_for.gallery.codes.clone(), taken_for.gallery.labels.clone())
        seen = replace(taken_for, keep=helpers, gallery=gallery)
        targeted = cell.attack.goal == "targeted"
        targets = draw_targets(split.queries.labels, split.database.labels, cell.target_seed) if targeted else None
        craft = crafter(cell.attack, seen, split.queries, cell.threat, cell.attack_seed, targets)
        return PreparedAttack(craft, split.queries, targets, seen, helpers)

    def _victim(self, cell: Cell, model: HashModel, name: str, seed: int) -> Victim:
        return kept_victim(model, self.split(cell), self.checkpoints, name, seed)

    def make(self, cell: Cell) -> DefendedModel | InvalidCell:
        """The same, not remembered."""
        began = time.perf_counter()
        try:
            model = self._defended(cell)
            weights = tensor_digest(model.state_dict())  # before a pass, which may change what a plugin keeps there
            victim = taken_for = self._victim(cell, model, cell.defended_key, cell.defense_seed)
            if cell.defense.entry.transforms:
                taken_for = self._victim(cell, bare(model), bare_name(cell.defended_key), cell.defense_seed)
        except InvalidCell as failure:
            return failure
        trained = self.checkpoints.store.facts(model_key(cell))
        facts = {
            "train_forwards": trained.get("train_forwards", ""),
            "train_backwards": trained.get("train_backwards", ""),
            **model_digests(weights, victim),
        }
        took = time.perf_counter() - began
        return DefendedModel(victim, taken_for, facts, trained.get("train_seconds", ""), took)

    def _clean(self, cell: Cell) -> HashModel:
        """The undefended model, trained or loaded."""
        subject, train = cell.subject, self.split(cell).train
        seed_all(cell.clean_seed)
        model = new_model(subject).to(self.device)

        def make() -> HashModel:
            trained: HashModel = explain(
                f"method {subject.method.label}", subject.training.call, model, train, self._method(cell, model)
            )
            return trained

        return self._kept(cell, cell.clean_key, model, make)

    def _defended(self, cell: Cell) -> HashModel:
        """The defended model, trained or loaded; a defense that trains nothing is applied anew."""
        clean = self._clean(cell)

        def make() -> HashModel:
            seed_all(cell.defense_seed)
            method = self._method(cell, clean)
            further = self.split(cell).database.copied().images if cell.defense.params.get(UNLABELLED) else None
            with unlabelled_at_hand(further):
                return self._apply(cell, clean, method)

        return self._kept(cell, cell.defended_key, clean, make) if cell.defense.entry.trains else make()

    def _apply(self, cell: Cell, start: HashModel, method: Method) -> HashModel:
        """What a cell's defense makes of a model, from data that it only reads."""
        train = self.split(cell).train
        try:
            with unwritten(
                f"defense {cell.defense.label}", {"train.images": train.images, "train.labels": train.labels}
            ):
                return defend(cell.defense, start, train, method, cell.training_threat)
        except WroteInto:
            self.forget()
            raise

    def _method(self, cell: Cell, model: HashModel) -> Method:
        train, choice = self.split(cell).train, cell.subject.method
        codes = explain_early(f"network {cell.subject.backbone.label}", encode, model, train)
        method = explain(f"method {choice.label}", choice.call, codes, train.labels.to(self.device))
        if not isinstance(method, Method):
            raise BadOutput(f"method {choice.label} returned a {type(method).__name__}; return a hashbench.Method")
        return method.to(self.device)

    def _kept(self, cell: Cell, key: str, start: HashModel, make: Callable[[], HashModel]) -> HashModel:
        """A model from the store; where it is not there, it is made and stored first.

        What comes back always went through the store, so that a resumed run sees the same weights.
        """
        what = f"the model {cell.subject.method.label}" if key == cell.clean_key else cell.defense.label
        savepoints: list[Savepoint] = []  # one, if the model has to be trained

        def train() -> StoredTensors:
            savepoint = Savepoint(self.checkpoints.store, key, Passes(), self.checkpoints.fresh, device=self.device)
            savepoints.append(savepoint)
            passes = savepoint.passes
            with job(f"training {what}, {cell.place}"), counted(start, passes), kept_at(savepoint):
                model = make()
            size = len(cell.subject.split.train)
            facts = {
                "key": key,
                "train_seconds": savepoint.seconds,
                "train_forwards": passes.forwards / size,
                "train_backwards": passes.backwards / size,
            }
            return StoredTensors(model.state_dict(), facts)

        weights = self.checkpoints.get(key, what, train)
        for savepoint in savepoints:
            savepoint.finish()
        model = new_model(cell.subject).to(self.device)
        try:
            model.load_state_dict(weights.tensors)
        except RuntimeError:
            raise BadOutput(
                f"defense {cell.defense.label} changed the network's layers; register it with trains=False"
            ) from None
        return model.eval()


def model_digests(weights: str, victim: Victim) -> dict[str, Any]:
    """What a row says of its model: the digests of its weights and of its database's codes.

    Args:
        weights: digest of the weights, taken before any pass.
    """
    return {"model_digest": weights, "codes_digest": tensor_digest({"codes": victim.gallery.codes})}
