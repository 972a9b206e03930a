"""Walks towards the lowest exact average precision, which attack sets are made of; ours."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from hashbench.crafting.autopgd import auto_pgd
from hashbench.crafting.gallery_ap import NEAR_FLOOR
from hashbench.crafting.gradient_loop import Objective
from hashbench.crafting.objectives import agreement
from hashbench.crafting.precision_search import LowestImages, flip_objective, smooth_objective
from hashbench.crafting.search import annealed, guided, masked, noisy_start, towards
from hashbench.models.codes import encode_batch, other_centers
from hashbench.models.data import Gallery, Queries, Victim
from hashbench.models.model import binarize
from hashbench.threat import Threat
from hashbench.types import BinaryCodes, GuideCodes, Images, Index

RANKED, HALF_WIDTH = 250, 4.0  # database items of the smooth average precision, and half the width of its bins


@dataclass(frozen=True)
class Aims:
    """The objectives that walks go by, on a batch of queries: functions of the victim's codes.

    Attributes:
        guide: the weighted guide code of each query [queries, bits].
        memory: binary codes of the training set [n, bits].
        sample: part of the database, in random order, in which average precision is approximated.
    """

    victim: Victim
    queries: Queries
    guide: GuideCodes
    memory: BinaryCodes
    sample: Gallery

    def from_guide(self) -> Objective:
        """Away from the weighted guide code, through the plain tanh."""
        return masked(self.victim.model, self.guide)

    def from_guide_annealed(self) -> Objective:
        """Away from the weighted guide code, through the annealed tanh."""
        return masked(self.victim.model, self.guide, alpha=annealed)

    def from_own(self) -> Objective:
        """Away from the clean query's binary code: the mean product with it, through the annealed tanh."""
        own = self.own
        return guided(self.victim.model, own, -own, loss=agreement, score=agreement, alpha=annealed)

    def to_center(self, place: int) -> Objective:
        """From the weighted guide code to the center code of another class.

        Args:
            place: which class: 0 for that whose center is nearest to the query's clean code, and so on.
        """
        last = self.others.shape[1] - 1
        return towards(self.victim.model, self.guide, self.others[:, min(place, last)])

    @functools.cached_property
    def others(self) -> Tensor:
        """The center codes of other classes, the nearest first [queries, classes, bits]."""
        return other_centers(self.own, self.memory, self.victim.train.labels, self.queries.labels)

    @functools.cached_property
    def flips(self) -> Objective:
        """The bits whose flip lowers the exact average precision."""
        return flip_objective(self.victim.model, self.sample, self.queries.labels)

    @functools.cached_property
    def smooth(self) -> Objective:
        """The smooth average precision in the sample's first items."""
        ranked = Gallery(self.sample.codes[:RANKED], self.sample.labels[:RANKED])
        return smooth_objective(self.victim.model, ranked, self.queries.labels, HALF_WIDTH)

    @functools.cached_property
    def own(self) -> BinaryCodes:
        """The binary codes of the clean queries [queries, bits], encoded when they are first asked for."""
        return binarize(encode_batch(self.victim.model, self.queries.images))


@dataclass(frozen=True)
class Walk:
    """A walk of an attack set: AutoPGD on an aim from noise, then AutoPGD on average precision itself.

    Attributes:
        aim: of the first part; None for a walk of the second part alone, from each query's lowest image.
        away, down: gradient steps of the two parts.
        fallen: only queries take part whose AP has fallen by more than this; all without it.
        near: nor those whose AP is so near to the lowest possible one.
        smooth: the second part is by the smooth AP, not by the bits whose flip lowers the exact AP.
        from_lowest: the second part starts at the query's lowest image, not at what the aim itself finds best.
    """

    aim: Callable[[Aims], Objective] | None
    away: int
    down: int
    fallen: float = -math.inf
    near: float = NEAR_FLOOR
    smooth: bool = False
    from_lowest: bool = False


@dataclass(frozen=True)
class Walks:
    """Takes walks on a batch of queries.

    Args:
        lowest: keeps the images that the walks find.
        part: the steps of a stage in full -> those that it takes.
    """

    aims: Aims
    threat: Threat
    lowest: LowestImages
    part: Callable[[int], int]

    def walk(self, walk: Walk, stream: int, clean: Tensor) -> Images:
        """Take a walk with the queries that it is for.

        Args:
            stream: of the noise that it starts from.
            clean: the AP of the clean queries [queries].

        Returns:
            What the aim itself finds best [queries, channels, height, width]; without one, the lowest images so far.
        """
        queries, lowest = self.aims.queries, self.lowest
        moving = (lowest.precision < clean - walk.fallen) & (lowest.precision > lowest.floor + walk.near)
        rows = moving.nonzero().flatten()
        if walk.aim is None:
            found = lowest.images.clone()
        else:
            start = noisy_start(queries, self.threat, stream)
            found = self._search(walk.aim(self.aims), start, rows, self.part(walk.away))
        middle = lowest.images.clone() if walk.from_lowest else found
        left = rows[torch.isin(rows, lowest.places)]
        down = self.aims.smooth if walk.smooth else self.aims.flips
        self._search(down, middle, left, self.part(walk.down), leads=not walk.smooth, first_step=1.0)
        return found

    def _search(
        self, objective: Objective, start: Images, rows: Index, steps: int, *, leads: bool = False,
        first_step: float = 2.0,
    ) -> Images:  # fmt: skip
        watched = self.lowest.watched(objective, leads=leads)
        found, _ = auto_pgd(
            start, self.aims.queries.images, watched, self.threat, steps=steps, rows=rows, first_step=first_step
        )
        if self.lowest.draws > 1 and len(rows):
            self.lowest.offer(found[rows], rows)
        return found
