"""Checks that a plugin's model gives the same codes in a process that has seen nothing of the evaluation."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import hashbench
from hashbench.errors import InvalidCell
from hashbench.evaluation.foreign_code import asked
from hashbench.evaluation.judge import Arrays, CraftAt
from hashbench.models.codes import encode_batch
from hashbench.models.data import ImageSource, Victim
from hashbench.models.model import binarize
from hashbench.registry.entries import Choice
from hashbench.registry.entry import Entry
from hashbench.running.cell import Cell
from hashbench.running.clean_room.room import ChoiceWords, Part, RoomCodes, RoomTask
from hashbench.running.clean_room.rooms import CleanRooms
from hashbench.types import BinaryCodes, Images, Index

HOME = Path(str(hashbench.__file__)).parent
MOST = 1000  # images of a cell, of the database and of the training set that are encoded again
ALONE = 16  # queries that are also encoded one by one
SURE = 1e-3  # mean share of bits; rounding in another batch moves fewer than 1e-4
EXCESS = 3  # factor: a randomised model may differ from the run by so much more than two processes differ
CHANCE = 4  # bits that may differ by chance, whatever the share
RANDOM_CHANCE = 16  # the same of a randomised model; 13 of 1,920 were seen of an honest one
PATIENCE, MINUTES = 10, 20  # a process may take ten times what its model and cell took in the run, and 20 minutes more
PREFIX = "room_"
REASON = f"{PREFIX}reason"
DREW = f"{PREFIX}drew"  # there if the model drew random numbers from torch
Numbers = dict[str, Any]


def needs_room(cell: Cell) -> bool:
    """Whether a cell's model contains code that is not hashbench's own."""
    return not all(_is_ours(choice.entry) for choice in (cell.defense, cell.subject.backbone, cell.subject.method))


def was_inspected(numbers: Numbers) -> bool:
    """Whether a cell's numbers include a comparison with recomputed codes."""
    return any(name.startswith(PREFIX) for name in numbers)


def is_stateful(numbers: Numbers) -> bool:
    """Whether a cell's numbers say that its codes could not be reproduced."""
    if REASON in numbers:
        return True
    found = [value for name, value in numbers.items() if name.startswith(PREFIX) and name != DREW]
    chance = RANDOM_CHANCE if DREW in numbers or any(own for _, own, _ in found) else CHANCE
    return any(moved > SURE + EXCESS * own + chance / compared for moved, own, compared in found)


@dataclass(frozen=True)
class InspectedCell:
    """A cell under inspection: some of its crafted queries are kept while they are judged.

    Attributes:
        rows: positions of those queries, drawn at random in each run.
        model_seconds: how long it took to make or load the model.
    """

    cell: Cell
    rooms: CleanRooms
    store: Path
    plugins: Sequence[Path]
    device: torch.device
    rows: Index
    kept: list[Images] = field(default_factory=list)
    model_seconds: float = 0.0
    began: float = field(default_factory=time.perf_counter)

    def noting(self, craft: CraftAt) -> CraftAt:
        """The same crafting, which keeps the crafted queries at `rows`."""

        def make(index: Index) -> tuple[Images, Images]:
            crafted, clean = craft(index)
            self.kept.append(crafted[torch.isin(index, self.rows).to(crafted.device)].cpu())
            return crafted, clean

        return make

    @property
    def seconds(self) -> float:
        """How long the cell has taken so far."""
        return time.perf_counter() - self.began

    def numbers(self, victim: Victim, arrays: Arrays) -> Numbers:
        """For each kind of images: shares of bits that differ from the run and between processes; number of bits.

        The name `room_drew` is there if the model drew random numbers from torch in one of the processes.

        The crafted queries are encoded again, some of them one by one. For the cell without an attack the database
        is too; for a cell with an attack, the training images are, and compared with what the run's model gives
        after the attack.

        Args:
            arrays: of the cell as it was judged.
        """
        bits = victim.model.bits
        judged = torch.from_numpy(np.unpackbits(arrays["codes"][self.rows], axis=1, count=bits)).float() * 2 - 1
        images, few = torch.cat(self.kept), torch.arange(min(ALONE, len(self.rows)))
        kinds: dict[str, tuple[BinaryCodes, Callable[[], RoomTask]]] = {
            "queries": (judged, partial(self._task, "images", self.rows, images)),
            "alone": (judged[few], partial(self._task, "images", self.rows[few], images[few], alone=True)),
        }
        if self.cell.attack.name == "none":
            rows = some(len(victim.gallery.codes))
            codes = victim.gallery.codes[rows.to(self.device)].cpu()
            kinds["database"] = codes, partial(self._task, "database", rows)
        else:
            rows = some(len(victim.train))
            kinds["train"] = _coded(victim, victim.train.images, rows), partial(self._task, "train", rows)

        def made() -> dict[str, RoomCodes]:
            return {name: self.rooms.codes(task()) for name, (_, task) in kinds.items()}

        try:
            once = made()
            moved = {name: _differing(once[name].codes, codes) for name, (codes, _) in kinds.items()}
            # Bits of an image near the border of two codes flip together, so that one kind alone may show no chance.
            again = made() if max(moved.values()) > SURE else once
        except InvalidCell as failure:
            return {REASON: str(failure)}
        own = {name: _differing(once[name].codes, again[name].codes) for name in kinds}
        found = {f"{PREFIX}{name}": [moved[name], own[name], codes.numel()] for name, (codes, _) in kinds.items()}
        return found | ({DREW: True} if any(room.drew for room in once.values()) else {})

    def _task(self, part: Part, rows: Index, images: Tensor | None = None, *, alone: bool = False) -> RoomTask:
        cell, subject = self.cell, self.cell.subject
        return RoomTask(
            tuple(path.resolve() for path in self.plugins), Path.cwd(), self.store.resolve(), str(self.device),
            torch.get_num_threads(), _words(subject.dataset), _words(subject.backbone), _words(subject.method),
            _words(cell.defense), dict(subject.training.params), subject.bits, cell.seed,
            cell.training_threat.eps, cell.training_threat.norm, cell.defended_key, part, rows, images, alone,
            secrets.randbits(60), 60 * MINUTES + round(PATIENCE * (self.model_seconds + self.seconds)),
        )  # fmt: skip


def _differing(codes: BinaryCodes, others: BinaryCodes) -> float:
    return (codes != others).double().mean().item()


def some(count: int) -> Index:
    """Sorted positions of at most 1,000 of `count` items, drawn at random in each run."""
    generator = torch.Generator().manual_seed(secrets.randbits(60))
    return torch.randperm(count, generator=generator)[:MOST].sort().values


def _coded(victim: Victim, source: ImageSource, rows: Index) -> BinaryCodes:
    device = victim.gallery.codes.device
    coded = [binarize(asked(encode_batch, victim.model, source[part].to(device))) for part in torch.split(rows, 256)]
    return torch.cat(coded).cpu()


def _words(choice: Choice[Any]) -> ChoiceWords:
    return ChoiceWords(choice.name, dict(choice.params), choice.entry.file)


def _is_ours(entry: Entry[Any]) -> bool:
    return HOME in entry.file.parents
