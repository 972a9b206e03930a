"""What an attack does to single queries: the images, and what is retrieved before and after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from hashbench.crafting.gallery_ap import exact_precision
from hashbench.errors import BadParameter, InvalidCell
from hashbench.models.codes import encode_batch
from hashbench.models.data import Victim
from hashbench.models.model import binarize
from hashbench.running.cell import Cell
from hashbench.running.checkpoints import Checkpoints
from hashbench.running.store import Store
from hashbench.running.victims import Victims
from hashbench.seeds import derive_seed, seeded
from hashbench.types import BinaryCodes, Images, Labels

SHOWN = 10  # retrieved images

Picture = NDArray[np.float32]  # [height, width] or [height, width, 3] in [0, 1]


@dataclass(frozen=True)
class Retrieved:
    """The first database items of a query, nearest first.

    Items at the same distance are tied: which of them are shown is drawn at random, independent of their order in
    the database. `tied` counts the items that are at least as near as the last one shown.

    Args:
        right: whether each shares a label with the query, or with its target under a targeted attack.
    """

    images: tuple[Picture, ...]
    right: tuple[bool, ...]
    distances: tuple[int, ...]
    tied: int
    average_precision: float


@dataclass(frozen=True)
class Shown:
    """One query: clean and adversarial image in [0, 1], and what each retrieves."""

    position: int
    clean: Picture
    adversarial: Picture
    before: Retrieved
    after: Retrieved


@dataclass(frozen=True)
class AttackedExamples:
    """Some queries of one cell. Queries of a targeted attack are judged by their target labels."""

    cell: Cell
    queries: tuple[Shown, ...]

    @property
    def targeted(self) -> bool:
        """Whether items are judged by the target's labels."""
        return self.cell.attack.goal == "targeted"


def make_examples(cell: Cell, positions: Sequence[int], store: Store, device: torch.device) -> AttackedExamples:
    """Attack some queries of a cell; a model that is not in the store is trained first.

    Args:
        positions: the queries' positions in the query set, from 0.

    Raises:
        BadParameter: there is no such query.
        InvalidCell: the model can't be trained, or the attack fails or leaves the budget.
    """
    victims = Victims(Checkpoints(store), device)
    queries = victims.split(cell).queries
    for position in positions:
        if not 0 <= position < len(queries):
            raise BadParameter(f"there is no query {position}; take 0 to {len(queries) - 1}")
    model = victims.defended(cell)
    if isinstance(model, InvalidCell):
        raise model
    attack, index = victims.prepare(cell, model), torch.tensor(positions)
    adversarial, clean = attack.craft(index)
    wanted = attack.wanted[index]
    before, after = (_retrieved(cell, model.victim, images, wanted, positions) for images in (clean, adversarial))
    pictures = zip(positions, _pictures(clean), _pictures(adversarial), before, after, strict=True)
    return AttackedExamples(cell, tuple(Shown(*parts) for parts in pictures))


def _retrieved(cell: Cell, victim: Victim, images: Images, wanted: Labels, positions: Sequence[int]) -> list[Retrieved]:
    """The items that each image retrieves by the victim's codes."""
    with seeded(derive_seed("gallery", cell.attack_seed)):
        codes = binarize(encode_batch(victim.model, images))
    found = exact_precision(victim, codes, wanted)
    distances = _distances(codes, victim.gallery.codes)
    database = cell.subject.split.database.images
    shown = []
    for row, position in enumerate(positions):
        generator = torch.Generator().manual_seed(derive_seed("ties", cell.attack_seed, position))
        order = torch.randperm(distances.shape[1], generator=generator)
        first = order[distances[row][order].argsort(stable=True)][:SHOWN]
        near = distances[row][first]
        right = (victim.gallery.labels[first.to(wanted.device)] @ wanted[row] > 0).tolist()
        tied = int((distances[row] <= near[-1]).sum())
        pictures = tuple(_pictures(database[first]))
        shown.append(Retrieved(pictures, tuple(right), tuple(near.tolist()), tied, float(found[row])))
    return shown


def _distances(codes: BinaryCodes, items: BinaryCodes) -> torch.Tensor:
    """Hamming distances [queries, items], on the CPU."""
    return ((codes.shape[1] - codes @ items.T) / 2).round().long().cpu()


def _pictures(images: Images) -> list[Picture]:
    """Images [n, channels, height, width] as arrays that can be drawn."""
    whole = images.detach().cpu().float().permute(0, 2, 3, 1).numpy()
    return [image[..., 0] if image.shape[-1] == 1 else image for image in whole]
