"""Cells: one model, one defense, one attack, one threat, one seed; each knows its identity, its keys and its seeds.

A key is made of names, parameters, the data's digest, seeds and versions; neither the text of the code nor its
location enters it. Seeds are made of the same without versions: a new version draws the random numbers of the old one.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hashbench.digests import digest
from hashbench.evaluation.judge import PROTOCOL_VERSION
from hashbench.models.data import QuerySet, RetrievalSplit
from hashbench.models.helpers import Settings, Tensors, Version, Versions
from hashbench.registry.entries import Choice, entry_of, raised_versions, stamp_of
from hashbench.registry.plugins import users_code
from hashbench.registry.protocols import Attack, Backbone, Dataset, Defense, MethodFactory
from hashbench.registry.tracks import RANKING
from hashbench.seeds import derive_seed
from hashbench.threat import Threat
from hashbench.training.loop import TRAINING_VERSION

SCHEMA_VERSION = 1
PROBE_EPS = "probe_eps"  # of a cell under a patch: the l-inf budget that its model is trained and probed under
INDEX = "reindexed"  # the defended model itself encodes the database
ADAPTIVE, OBLIVIOUS = "adaptive", "oblivious"  # whether the attacker knows of a transformation of the input

Identity = dict[str, Any]

# The fields that determine an undefended model, those that a defense adds, and those that an attack adds to both.
OF_CLEAN = (
    "dataset", "split_digest", "backbone", "backbone_params", "method", "method_params", "training",
    "training_params", "bits", "seed",
)  # fmt: skip
OF_DEFENSE = ("defense", "defense_params", "defense_eps")
OF_ATTACK = ("attack", "attack_params", "goal", "access", "norm", "eps", "index")
CLEAN_ROLES = ("dataset", "backbone", "method", "training")
DEFENDED_ROLES = (*CLEAN_ROLES, "defense")
# Part of every seed; fixed, so that seeds survive a new schema or protocol.
SEEDED = {"schema_version": 1, "protocol_version": 1}


@dataclass(frozen=True)
class Subject:
    """What is defended and attacked: data with the named queries, network, method, code length, clean training."""

    dataset: Choice[Dataset]
    split: RetrievalSplit
    backbone: Choice[Backbone]
    method: Choice[MethodFactory]
    training: Choice[Any]
    bits: int
    queries: QuerySet = "queries"


@dataclass(frozen=True)
class Cell:
    """One entry of a matrix, to be measured.

    Args:
        made_with: the versions of a row from another release; the current ones by default.
    """

    subject: Subject
    seed: int
    defense: Choice[Defense]
    attack: Choice[Attack]
    threat: Threat
    attacker: str = ADAPTIVE
    made_with: Versions | None = None

    @functools.cached_property
    def identity(self) -> Identity:
        """The cell as a reader sees it: the key fields, parameters and versions of its row."""
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
            "training": subject.training.label,
            "training_params": subject.training.visible,
            "bits": subject.bits,
            "seed": self.seed,
            "defense": self.defense.label,
            "defense_params": self.defense.visible,
            "defense_eps": self.training_threat.eps if self.defense.entry.trains else None,
            "attack": self.attack.label,
            "attack_params": self.attack.visible,
            "goal": self.attack.goal,
            "access": self.attack.access,
            "norm": self.threat.norm,
            "eps": self.threat.eps,
            "index": INDEX,
            "tuned": self.defense.tuned,
            "attacker": self.attacker,
            "versions": self.versions if self.made_with is None else dict(self.made_with),
            **({PROBE_EPS: self.training_threat.eps} if self.threat.side else {}),
        }

    @property
    def training_threat(self) -> Threat:
        """What the defense defends against, and what its model is probed under."""
        return self.subject.split.training_threat(self.threat)

    @property
    def place(self) -> str:
        """The data set, the code length and the seed, for people."""
        return f"{self.subject.dataset.label}, {self.subject.bits} bits, seed {self.seed}"

    @property
    def versions(self) -> Versions:
        """The current version of each entry and of the training loop, by role."""
        subject = self.subject
        return {
            **subject.dataset.versions("dataset"),
            **subject.backbone.versions("backbone"),
            **subject.method.versions("method"),
            "training": TRAINING_VERSION,
            **self.defense.versions("defense"),
            **self.attack.versions("attack"),
        }

    @functools.cached_property
    def key(self) -> str:
        """The cell's key."""
        return cell_key(self.identity)

    @functools.cached_property
    def clean_key(self) -> str:
        """The key of the undefended model."""
        return clean_key(self.identity)

    @functools.cached_property
    def defended_key(self) -> str:
        """The key of the defended model."""
        return defended_key(self.identity)

    @property
    def clean_seed(self) -> int:
        """Seeds the clean training."""
        return derive_seed("clean", self._seeded(OF_CLEAN))

    @property
    def defense_seed(self) -> int:
        """Seeds the defense."""
        return derive_seed("defense", self._seeded((*OF_CLEAN, *OF_DEFENSE)))

    @property
    def attack_seed(self) -> int:
        """Seeds the attack; adaptive and oblivious attackers share it."""
        return derive_seed("attack", self._seeded((*OF_CLEAN, *OF_DEFENSE, *OF_ATTACK)))

    @property
    def target_seed(self) -> int:
        """Seeds the draw of targets, which all attacks on a data set share."""
        return derive_seed("targets", self.subject.split.digest, self.seed)

    def helper_key(
        self, name: str, settings: Settings, make: Callable[[], Tensors], *, of_victim: bool, versions: Versions
    ) -> tuple[str, int]:
        """The key and the seed of a helper that an attack trains for a victim or a data set.

        Args:
            versions: of what makes the helper; for one of the victim, the attack's are added.
        """
        own = users_code(make.__module__, Path(make.__code__.co_filename)) if hasattr(make, "__code__") else ""
        if of_victim:
            seen = "" if self.attacker == ADAPTIVE else self.attacker
            owner: Any = [self._seeded((*OF_CLEAN, *OF_DEFENSE)), seen]
            versions = {**versions, **of_roles(self.identity["versions"], (*DEFENDED_ROLES, "attack"))}
        else:
            owner = self.subject.split.digest
        what = [name, dict(settings), self.seed, owner]
        key = digest(["helper", what, {**versions, "training": TRAINING_VERSION}, own])
        return key, derive_seed("helper", digest(what))

    def _seeded(self, names: Sequence[str]) -> str:
        norm = _trained_norm(self.identity) if "defense_eps" in names else {}
        return digest({**SEEDED, **{name: self.identity[name] for name in names}, **norm})


def cell_key(identity: Mapping[str, Any]) -> str:
    """The key of a cell: a digest of everything that determines its numbers.

    The tuning trials that chose the defense's values are not part of it.
    """
    return digest(["cell", {name: value for name, value in identity.items() if name != "tuned"}])


def clean_key(identity: Mapping[str, Any]) -> str:
    """The key of the undefended model of a cell or a probe."""
    named = {name: identity[name] for name in OF_CLEAN}
    return digest(["clean model", named, of_roles(identity["versions"], CLEAN_ROLES)])


def defended_key(identity: Mapping[str, Any]) -> str:
    """The key of the defended model of a cell or a probe."""
    named = {name: identity[name] for name in (*OF_CLEAN, *OF_DEFENSE)} | _trained_norm(identity)
    return digest(["defended model", named, of_roles(identity["versions"], DEFENDED_ROLES)])


def _trained_norm(identity: Mapping[str, Any]) -> dict[str, str]:
    """The norm that a defense was trained for, if it is l2: what else a model's key and seed are made of."""
    return {"norm": "l2"} if identity["norm"] == "l2" and identity["defense_eps"] is not None else {}


def of_roles(versions: Versions, roles: Sequence[str]) -> Versions:
    """The versions of some roles, including those of entries that their parameters name."""
    return {name: version for name, version in versions.items() if name.partition(".")[0] in roles}


def outdated(
    identity: Mapping[str, Any], roles: Sequence[str] = (*DEFENDED_ROLES, "attack"), *, exact: bool = False
) -> tuple[str, ...]:
    """The parts of a row whose version has changed since, for people: 'cgat, version 1; now 2'.

    Entries that are not registered are left out.

    Args:
        roles: whose versions are compared.
        exact: also compare the code of plugin files, not only their versions.
    """
    versions = of_roles(identity.get("versions", {}), roles)
    for role in [role for role in versions if role != "training" and ".uses." not in role]:
        entry = entry_of(_kind_of(role), _name_of(role, identity))
        versions = {**dict.fromkeys(raised_versions(entry, role.partition(".")[0]) if entry else (), 1), **versions}
    found = []
    for role, version in versions.items():
        name = _name_of(role, identity)
        today = TRAINING_VERSION if role == "training" else stamp_of(_kind_of(role), name)
        if today is not None and (version != today if exact else _number(version) != _number(today)):
            found.append(f"{name}, version {_number(version)}; now {_number(today)}")
    return tuple(found)


def _kind_of(role: str) -> str:
    """The kind of the entry behind `attack`, `attack.backbone` or `attack.uses.backbone.cnn`."""
    parts = role.split(".")
    return parts[2] if len(parts) > 2 else parts[-1]


def _name_of(role: str, identity: Mapping[str, Any]) -> str:
    owner, *inner = role.split(".")
    if role == "training":
        return "the training loop"
    if len(inner) > 1:
        return inner[-1]
    return str(identity[f"{owner}_params"][inner[0]] if inner else identity[owner]).partition(":")[0]


def without_code(versions: Versions) -> Versions:
    """Versions without the digests of plugins' files."""
    return {role: _number(version) for role, version in versions.items()}


def _number(version: Version) -> int:
    return int(str(version).partition("+")[0])


def plan(
    subject: Subject, threat: Threat, seeds: Sequence[int], defenses: Sequence[Choice[Defense]],
    attacks: Sequence[Choice[Attack]],
) -> list[Cell]:  # fmt: skip
    """Every combination once, in the order of the tables: model by model."""
    return [
        Cell(subject, seed, defense, attack, threat, attacker)
        for seed in sorted(set(seeds))
        for defense in _unique(defenses)
        for attack in _unique(attacks)
        for attacker in attackers(defense, attack)
    ]


def attackers(defense: Choice[Defense], attack: Choice[Attack]) -> tuple[str, ...]:
    """The attackers of a cell: the adaptive one, and the oblivious one if the defense transforms its input.

    An attack that sees nothing of the model is the same for both, so it runs once; so does one that asks the deployed
    system, which answers with its transformation.
    """
    hidden = defense.entry.transforms and attack.entry.access not in ("none", RANKING)
    return (ADAPTIVE, OBLIVIOUS) if hidden else (ADAPTIVE,)


def column_name(attack: str, attacker: str) -> str:
    """An attack's column name in tables: the plain name for the adaptive attacker."""
    return attack if attacker == ADAPTIVE else f"{attack} ({attacker})"


def _unique(choices: Sequence[Choice[Any]]) -> list[Choice[Any]]:
    by_label = {choice.label: choice for choice in choices}
    return sorted(by_label.values(), key=lambda choice: (choice.name != "none", choice.label))
