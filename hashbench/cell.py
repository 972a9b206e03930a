"""Cells: one model, one defense, one attack, one threat, one seed; each knows its key."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hashbench.data import RetrievalSplit
from hashbench.fingerprint import ATTACKING, JUDGING, TRAINING, code_digest, digest, modules_digest
from hashbench.keeping import Settings, Tensors
from hashbench.protocols import Attack, Backbone, Dataset, Defense, MethodFactory
from hashbench.registry import Choice
from hashbench.seeds import derive_seed
from hashbench.threat import Threat

PROTOCOL_VERSION = 1
SCHEMA_VERSION = 1
INDEX = "reindexed"  # the database is coded by the defended model itself
ADAPTIVE, OBLIVIOUS = "adaptive", "oblivious"  # knows of a transformation of the input, or not

Config = dict[str, Any]


@dataclass(frozen=True)
class Subject:
    """What is attacked and defended: data, network, hashing method, code length, clean training."""

    dataset: Choice[Dataset]
    split: RetrievalSplit
    backbone: Choice[Backbone]
    method: Choice[MethodFactory]
    training: Choice[Any]
    bits: int


@dataclass(frozen=True)
class Cell:
    """One number of a matrix, to be measured."""

    subject: Subject
    seed: int
    defense: Choice[Defense]
    attack: Choice[Attack]
    threat: Threat
    attacker: str = ADAPTIVE

    @functools.cached_property
    def identity(self) -> Config:
        """What a reader sees of the cell: the key fields and parameters of its row."""
        return {**self._attack_identity, "tuned": self.defense.tuned, "attacker": self.attacker}

    @functools.cached_property
    def key(self) -> str:
        """The cell's key: a digest of its identity and of the code that makes its number."""
        code = [modules_digest(ATTACKING), modules_digest(JUDGING), self.attack.source]
        return digest([self.identity, self.defended_key, *code])

    @functools.cached_property
    def clean_key(self) -> str:
        """The key of the undefended model."""
        parts = (self.subject.dataset, self.subject.backbone, self.subject.method)
        return digest([self._clean_identity, modules_digest(TRAINING), *(part.entry.source for part in parts)])

    @functools.cached_property
    def defended_key(self) -> str:
        """The key of the defended model."""
        return digest([self._defended_identity, self.clean_key, self.defense.entry.source])

    @property
    def clean_seed(self) -> int:
        """Seeds the clean training."""
        return derive_seed("clean", digest(self._clean_identity))

    @property
    def defense_seed(self) -> int:
        """Seeds the defense."""
        return derive_seed("defense", digest(self._defended_identity))

    @property
    def attack_seed(self) -> int:
        """Seeds the attack: the same for an attacker that knows of a transformation and one that does not."""
        return derive_seed("attack", digest(self._attack_identity))

    @property
    def target_seed(self) -> int:
        """Seeds the draw of targets, which all attacks of a data set share."""
        return derive_seed("targets", self.subject.split.digest, self.seed)

    def helper_key(
        self, name: str, settings: Settings, make: Callable[[], Tensors], *, of_victim: bool
    ) -> tuple[str, int]:
        """The key and the seed of a helper that an attack trains for the victim, or for its data set."""
        seen = self.defended_key if self.attacker == ADAPTIVE else digest([self.defended_key, self.attacker])
        owner = seen if of_victim else self.subject.split.digest
        what = [name, dict(settings), self.seed, owner]
        code = [modules_digest(TRAINING), modules_digest(ATTACKING), code_digest(Path(make.__code__.co_filename))]
        return digest([what, code]), derive_seed("helper", digest(what))

    @functools.cached_property
    def _clean_identity(self) -> Config:
        subject = self.subject
        return {
            "schema_version": SCHEMA_VERSION,
            "protocol_version": PROTOCOL_VERSION,
            "dataset": subject.dataset.label,
            "split_digest": subject.split.digest,
            "backbone": subject.backbone.label,
            "backbone_params": subject.backbone.visible,
            "method": subject.method.label,
            "method_params": subject.method.visible,
            "training_params": subject.training.visible,
            "training": subject.training.label,
            "bits": subject.bits,
            "seed": self.seed,
        }

    @functools.cached_property
    def _defended_identity(self) -> Config:
        trained_for = self.threat.eps if self.defense.entry.tags["trains"] == "yes" else None
        return {
            **self._clean_identity,
            "defense": self.defense.label,
            "defense_params": self.defense.visible,
            "defense_eps": trained_for,
        }

    @functools.cached_property
    def _attack_identity(self) -> Config:
        return {
            **self._defended_identity,
            "attack": self.attack.label,
            "attack_params": self.attack.visible,
            "goal": self.attack.goal,
            "access": self.attack.entry.tags["access"],
            "norm": self.threat.norm,
            "eps": self.threat.eps,
            "index": INDEX,
        }


def plan(
    subject: Subject,
    threat: Threat,
    seeds: Sequence[int],
    defenses: Sequence[Choice[Defense]],
    attacks: Sequence[Choice[Attack]],
) -> list[Cell]:
    """Every combination, without repetitions, in the order of the tables: model by model."""
    return [
        Cell(subject, seed, defense, attack, threat, attacker)
        for seed in sorted(set(seeds))
        for defense in _unique(defenses)
        for attack in _unique(attacks)
        for attacker in attackers(defense, attack)
    ]


def attackers(defense: Choice[Defense], attack: Choice[Attack]) -> tuple[str, ...]:
    """Who attacks: the adaptive attacker, and the oblivious one where there is a transformation to know of.

    An attack that sees nothing of the model is the same for both.
    """
    hidden = defense.entry.tags["transforms"] == "yes" and attack.entry.tags["access"] != "none"
    return (ADAPTIVE, OBLIVIOUS) if hidden else (ADAPTIVE,)


def column_name(attack: str, attacker: str) -> str:
    """The attack of a column as tables call it: that of the adaptive attacker has the plain name."""
    return attack if attacker == ADAPTIVE else f"{attack} ({attacker})"


def _unique(choices: Sequence[Choice[Any]]) -> list[Choice[Any]]:
    by_label = {choice.label: choice for choice in choices}
    return sorted(by_label.values(), key=lambda choice: (choice.name != "none", choice.label))
