"""A black box that answers an image with the ids of the nearest database items, and with nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from hashbench.metrics.nearest_items import nearest_items
from hashbench.models.data import Queries, Victim
from hashbench.models.model import binarize
from hashbench.seeds import derive_seed
from hashbench.types import BinaryCodes, Ids, Images, Index

PLACES = 1 << 24  # distances that are ranked at once


@dataclass(frozen=True)
class RankingBox:
    """What an attacker is given who may only ask the deployed system: images go in, ids of the top items come out.

    `answer` takes images [n, channels, height, width] and returns ids [n, top], the nearest item first. An id tells
    nothing but which item it is: items are numbered in a random order, which is always the same, and items at the same
    distance are returned in that order. Each image asked is a pass through the model.

    >>> box = RankingBox(lambda images: torch.tensor([[4, 2]]).expand(len(images), 2))
    >>> box.answer(torch.rand(1, 1, 8, 8))
    tensor([[4, 2]])
    """

    answer: Callable[[Images], Ids]


def ranking_box(victim: Victim, top: int) -> RankingBox:
    """The box of a victim.

    Args:
        top: how many ids an answer has; all of the database if that has fewer.
    """
    codes = victim.gallery.codes
    codes = codes[numbering(len(codes)).to(codes.device)]

    def answer(images: Images) -> Ids:
        with torch.no_grad():
            asked = binarize(victim.model(images)).to(codes.dtype)
        return nearest(asked, codes, top)

    return RankingBox(answer)


def numbering(items: int) -> Index:
    """The item behind each id: a permutation that depends on nothing but the number of items."""
    return torch.randperm(items, generator=torch.Generator().manual_seed(derive_seed("ids of the database", items)))


def nearest(asked: BinaryCodes, codes: BinaryCodes, top: int) -> Ids:
    """Positions of the codes that are nearest to each asked one, in order; at the same distance the first position.

    >>> codes = torch.tensor([[1.0, 1.0], [-1.0, -1.0], [1.0, -1.0], [1.0, 1.0]])
    >>> nearest(torch.tensor([[1.0, 1.0], [-1.0, -1.0]]), codes, 3)
    tensor([[0, 3, 2],
            [1, 2, 0]])
    """
    if not codes.is_cuda:
        return torch.from_numpy(nearest_items((asked > 0).numpy(), (codes > 0).numpy(), top))
    items, bits = len(codes), asked.shape[1]
    places = torch.arange(items, device=codes.device)
    found = []
    for rows in torch.split(asked, max(1, PLACES // items)):
        distances = (bits - (rows @ codes.T).round().long()) // 2
        found.append((distances * items + places).topk(min(top, items), dim=1, largest=False).indices)
    return torch.cat(found)


def without_labels(queries: Queries) -> Queries:
    """The queries as a box's attacker has them: images, and where to draw random numbers from."""
    return Queries(queries.images, queries.labels[:, :0], queries.index, queries.seed)
