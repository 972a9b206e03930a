"""Work of a clean-room process: it rebuilds the model from the store and encodes some images."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from hashbench.errors import BadOutput
from hashbench.evaluation.foreign_code import explain, load_split
from hashbench.models.codes import batch_size, encode_batch
from hashbench.models.data import ImageSet
from hashbench.models.model import HashModel, binarize
from hashbench.registry import entries
from hashbench.registry.entries import Choice, Registry
from hashbench.registry.parameters import Value
from hashbench.registry.spec import Spec
from hashbench.running.cell import Cell, Subject
from hashbench.running.checkpoints import Checkpoints
from hashbench.running.store import Store
from hashbench.running.victims import Victims
from hashbench.seeds import derive_seed, seed_all
from hashbench.threat import Threat
from hashbench.training.undefended import clean_training
from hashbench.types import BinaryCodes, Index

Part = Literal["images", "train", "database"]


@dataclass(frozen=True)
class ChoiceWords:
    """A choice as sent to another process: the name, the values, and the file that holds the function."""

    name: str
    params: Mapping[str, Value]
    file: Path

    def chosen(self, registry: Registry[Any]) -> Choice[Any]:
        """The choice; its file is loaded as a plugin if nothing has registered the name yet."""
        if self.name not in {entry.name for entry in registry}:
            entries.load_plugin(self.file)
        return Choice(registry[self.name], dict(self.params))


@dataclass(frozen=True)
class RoomTask:
    """What a process should encode, and how it makes the model: names, paths and possibly images.

    Attributes:
        key: key of the defended model, to check that it is the same here.
        part: which images: the given ones, or those of the data set at the positions `rows`.
        alone: encode each image in a batch of its own.
        draw: seed of their order and of a randomised model's random numbers.
        limit: seconds after which the process is killed.
    """

    plugins: tuple[Path, ...]
    folder: Path
    store: Path
    device: str
    threads: int
    dataset: ChoiceWords
    backbone: ChoiceWords
    method: ChoiceWords
    defense: ChoiceWords
    training: Mapping[str, Value]
    bits: int
    seed: int
    eps: float
    norm: str
    key: str
    part: Part
    rows: Index
    images: Tensor | None
    alone: bool
    draw: int
    limit: int


class RoomCodes(NamedTuple):
    """What a process found: binary codes of the images in their order [images, bits], on the CPU.

    Attributes:
        drew: whether the model drew random numbers from torch to encode them.
    """

    codes: BinaryCodes
    drew: bool


def room_codes(task: RoomTask) -> RoomCodes:
    """The binary codes of a task's images, by a model that is made here.

    Raises:
        HashbenchError: the model can't be made here, or returns no codes.
    """
    os.chdir(task.folder)
    torch.set_num_threads(task.threads)
    for path in task.plugins:
        entries.load_plugin(path)
    cell = _cell(task)
    if cell.defended_key != task.key:
        raise BadOutput("the plugin or the data changed while the command ran; run it again")
    victims = Victims(Checkpoints(Store(task.store)), torch.device(task.device))
    model = victims.model(cell)
    split = victims.split(cell)
    asked = split.train if task.part == "train" else split.database
    if task.images is not None:
        asked = ImageSet(task.images, torch.zeros(len(task.images), 1))
    return _shuffled(model, asked, task, victims.device)


def _cell(task: RoomTask) -> Cell:
    dataset = task.dataset.chosen(entries.datasets)
    subject = Subject(
        dataset,
        load_split(dataset),
        task.backbone.chosen(entries.backbones),
        task.method.chosen(entries.methods),
        Choice(entries.choose_clean(clean_training, "").entry, dict(task.training)),
        task.bits,
    )
    nothing = entries.attacks.choose(Spec("none"))
    return Cell(subject, task.seed, task.defense.chosen(entries.defenses), nothing, Threat(task.eps, task.norm))


def _shuffled(model: HashModel, asked: ImageSet, task: RoomTask, device: torch.device) -> RoomCodes:
    """Codes of the images at the task's rows, computed in another order and in other batches than in the run."""
    seed_all(task.draw)
    before = _random_states(device)
    order = torch.randperm(len(task.rows), generator=torch.Generator().manual_seed(derive_seed("order", task.draw)))
    found = torch.empty(len(task.rows), task.bits)
    for places in torch.split(order, 1 if task.alone else batch_size(asked)):
        rows = places if task.images is not None else task.rows[places]
        images = asked.images[rows].to(device)
        found[places] = binarize(explain("the model in a process of its own", encode_batch, model, images)).cpu()
    drew = any(not torch.equal(old, new) for old, new in zip(before, _random_states(device), strict=True))
    return RoomCodes(found, drew)


def _random_states(device: torch.device) -> list[Tensor]:
    """The states of torch's own generators that a model on a device may draw from."""
    states = [torch.get_rng_state()]
    return [*states, torch.cuda.get_rng_state(device)] if device.type == "cuda" else states
