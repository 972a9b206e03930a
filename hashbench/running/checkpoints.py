"""Tensors of a run: models, attacks' helpers and codes of databases, each made once and kept in the store."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
import torch

from hashbench.digests import digest
from hashbench.errors import StoreUnusable
from hashbench.evaluation.judge import PROTOCOL_VERSION, make_victim
from hashbench.models.data import Gallery, RetrievalSplit, Victim
from hashbench.models.helpers import NONE, Settings, Tensors, Versions, on_cpu
from hashbench.models.model import HashModel
from hashbench.models.pass_counter import Passes, counted
from hashbench.models.weight_files import tensor_digest
from hashbench.progress import job
from hashbench.registry.short_labels import defense_name
from hashbench.running.cell import Cell
from hashbench.running.store import DATABASES, MODELS, Store, StoredTensors
from hashbench.seeds import seeded

Facts = Mapping[str, Any]
NOTHING: Facts = MappingProxyType({})


@dataclass
class Checkpoints:
    """Trained tensors of one run: loaded from the store, or made and stored first.

    When several processes need the same tensors, one makes them and the others wait.

    Args:
        since: the store's time at the start of a fresh run, which recreates anything older once.
    """

    store: Store
    since: float | None = None

    @property
    def fresh(self) -> bool:
        """Whether to ignore what was stored before this run."""
        return self.since is not None

    def get(
        self, key: str, what: str, make: Callable[[], StoredTensors], kind: str = MODELS, facts: Facts = NOTHING
    ) -> StoredTensors:
        """The tensors of a key, read back from the store.

        Args:
            what: what the terminal shows while another process makes them.
            kind: MODELS, or DATABASES for the codes of a database.
            facts: what the stored tensors must say of themselves; where they do not, they are made again.

        Raises:
            StoreUnusable: they can't be read back.
        """

        def kept() -> StoredTensors | None:
            found = self.store.model(key, self.since, kind)
            return found if found and facts.items() <= found.facts.items() else None

        weights = kept()
        if weights is None:
            with self.store.lock(key, what):
                weights = kept()
                if weights is None:
                    self.store.save_model(key, make(), kind)
                    weights = self.store.model(key, kind=kind)
        if weights is None:
            raise StoreUnusable(f"{kind}/{key} could not be read back from the store; check its disk")
        return weights


def model_key(cell: Cell) -> str:
    """The key of the checkpoint behind a cell's defended model: its own, or the undefended model's."""
    return cell.defended_key if cell.defense.entry.trains else cell.clean_key


@dataclass
class Helpers:
    """The helpers of one cell's attack, each trained once for its victim and kept in the store."""

    checkpoints: Checkpoints
    cell: Cell
    model: HashModel
    passes: Passes = field(default_factory=Passes)

    def __call__(
        self,
        name: str,
        settings: Settings,
        make: Callable[[], Tensors],
        *,
        of_victim: bool = True,
        versions: Versions = NONE,
    ) -> Tensors:
        """The helper's tensors; one that is not in the store is trained and stored first.

        Counts the passes through the victim that its training took, whether now or earlier.
        """
        key, seed = self.cell.helper_key(name, settings, make, of_victim=of_victim, versions=versions)

        def train() -> StoredTensors:
            passes = Passes()
            what = f"training {name} for {defense_name(self.cell.defense.label)}, {self.cell.place}"
            with job(what), seeded(seed), counted(self.model, passes):
                tensors = on_cpu(make())
            facts = {"key": key, "helper": name, "forwards": passes.forwards, "backwards": passes.backwards}
            return StoredTensors(tensors, facts)

        weights = self.checkpoints.get(key, name, train)
        self.passes.forwards += weights.facts["forwards"]
        self.passes.backwards += weights.facts["backwards"]
        return weights.tensors


def database_key(name: str) -> str:
    """The key of the codes of a database.

    Args:
        name: of the model and the split.
    """
    return digest(["codes of the database", name, PROTOCOL_VERSION])


def bare_name(defended_key: str) -> str:
    """The name, for `database_key`, of a defended model without its transformation."""
    return f"{defended_key}, bare"


def kept_victim(model: HashModel, split: RetrievalSplit, checkpoints: Checkpoints, name: str, seed: int) -> Victim:
    """A model with the codes of its database: from the store, or made and stored first.

    Args:
        name: stands for the model and the split, and for nothing else.
        seed: of random numbers that the model draws.

    Raises:
        CodeRaised: the model raised an exception.
        BadOutput: its codes are not finite numbers of the right shape.
    """
    key, weights = database_key(name), {"weights": tensor_digest(model.state_dict())}

    def make() -> StoredTensors:
        with seeded(seed):
            codes = make_victim(model, split.train, split.database).gallery.codes
        bits = np.packbits((codes > 0).cpu().numpy(), axis=1)
        return StoredTensors({"codes": torch.from_numpy(bits)}, {"key": key, "bits": model.bits, **weights})

    stored = checkpoints.get(key, "the database", make, DATABASES, weights).tensors["codes"]
    bits = np.unpackbits(stored.numpy(), axis=1, count=model.bits)
    labels = split.database.labels
    codes = torch.from_numpy(bits).to(labels.device, torch.float32) * 2 - 1
    return Victim(model, split.train, Gallery(codes, labels))
