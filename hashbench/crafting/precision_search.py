"""Search on the exact average precision: the image that lowers it most is kept, and bits that count lead the way."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from hashbench.crafting.gallery_ap import NEAR_FLOOR, exact_precision, lowest_precision, precision_in
from hashbench.crafting.gradient_loop import Objective, ObjectiveValue, never_done
from hashbench.crafting.soft_average_precision import soft_average_precision
from hashbench.errors import BadInput
from hashbench.models.codes import encode_batch, shared_labels
from hashbench.models.data import Gallery, ImageSet, Queries, Victim
from hashbench.models.model import HashModel, binarize
from hashbench.types import BinaryCodes, Images, Index, Labels

DRAWS = 8  # passes that the average precision of an image is a mean of, where the model draws random numbers
COMPARED = 16  # training images that show whether it does


class LowestImages:
    """Each query's image of the lowest exact average precision among all that a search has looked at.

    At first it is the clean query. A model that draws random numbers would make a lucky draw look like a good image,
    so there only images that are offered count, by the mean over several passes.

    Attributes:
        images: [queries, channels, height, width].
        precision: their average precision [queries]; NaN without a relevant item.

    Args:
        draws: passes that an offered image is judged by.
    """

    def __init__(self, victim: Victim, queries: Queries, draws: int = 1) -> None:
        self.victim, self.labels, self.draws = victim, queries.labels, draws
        self.images = queries.images.clone()
        self.floor = lowest_precision(victim, queries.labels)
        self.precision = self._precision(self.images, queries.labels)

    @property
    def places(self) -> Index:
        """The queries that can still lose more than 0.01 of average precision, by their positions in the batch."""
        return (self.precision > self.floor + NEAR_FLOOR).nonzero().flatten()

    def offer(self, images: Images, rows: Index, *, ties: bool = False) -> None:
        """Judge an image of each of some queries, and keep those that are better.

        Args:
            images: one for each of `rows`.
            rows: positions of the queries in the batch.
            ties: keep those that are as good, too.
        """
        self._keep(rows, images, self._precision(images, self.labels[rows]), ties=ties)

    def watched(self, objective: Objective, *, leads: bool = False) -> Objective:
        """An objective of which every iterate is judged at no further pass; a query near the floor stops early.

        Args:
            objective: gives the iterates' codes; without them it raises BadInput when it is asked.
            leads: rank iterates by their average precision instead of by the objective's own score.
        """

        def evaluate(images: Images, rows: Index, progress: float) -> ObjectiveValue:
            value = objective(images, rows, progress)
            if value.codes is None:
                raise BadInput("an objective is watched by its codes; give them in ObjectiveValue(..., codes=...)")
            if self.draws > 1 and not leads:
                return value
            found = exact_precision(self.victim, value.codes, self.labels[rows])
            score = found.to(value.score) if leads else value.score
            if self.draws > 1:
                return replace(value, score=score)
            self._keep(rows, images.detach(), found)
            return replace(value, score=score, done=value.done | (found <= self.floor[rows] + NEAR_FLOOR))

        return evaluate

    def _precision(self, images: Images, labels: Labels) -> Tensor:
        found = [
            exact_precision(self.victim, encode_batch(self.victim.model, images), labels) for _ in range(self.draws)
        ]
        return torch.stack(found).mean(0)

    def _keep(self, rows: Index, images: Images, precision: Tensor, *, ties: bool = False) -> None:
        wins = precision <= self.precision[rows] if ties else precision < self.precision[rows]
        self.images[rows] = torch.where(wins[:, None, None, None], images, self.images[rows])
        self.precision[rows] = torch.where(wins, precision, self.precision[rows])


def flip_objective(model: HashModel, gallery: Gallery, labels: Labels) -> Objective:
    """The directions in which single bits lower the average precision; ours.

    The loss of a relaxed code h with signs s is the sum over the bits of w s h, where w is what the exact average
    precision loses when that bit alone flips, without gradient: the derivative of its multilinear extension at s.
    It is meant to be watched with `leads`, since its own value ranks no iterates.

    Args:
        gallery: what average precision is measured in; a sample of the database is enough.
        labels: labels of the queries [queries, classes].
    """

    def objective(images: Images, rows: Index, progress: float) -> ObjectiveValue:
        relaxed = model(images)
        signs = binarize(relaxed.detach())
        loss = (flip_gains(gallery, signs, labels[rows]).to(relaxed) * signs * relaxed).sum(1)
        return ObjectiveValue(loss, loss.detach(), torch.zeros_like(loss, dtype=torch.bool), relaxed.detach())

    return objective


def smooth_objective(model: HashModel, gallery: Gallery, labels: Labels, half_width: float) -> Objective:
    """The smooth average precision of relaxed codes in a gallery (He et al., CVPR 2018).

    Args:
        gallery: what average precision is measured in; a small sample of the database is enough.
        labels: labels of the queries [queries, classes].
        half_width: half the width of the triangular bins over Hamming distances, in bits.
    """
    relevant = shared_labels(labels, gallery.labels)

    def objective(images: Images, rows: Index, progress: float) -> ObjectiveValue:
        relaxed = model(images)
        found = never_done(soft_average_precision(relaxed, gallery.codes, relevant[rows], half_width))
        return replace(found, codes=relaxed.detach())

    return objective


def flip_gains(gallery: Gallery, codes: BinaryCodes, labels: Labels) -> Tensor:
    """How much average precision falls when one bit of a code flips: [codes, bits]; below 0 where it rises.

    0 for a code without a relevant item.

    Args:
        codes: binary codes [codes, bits].
        labels: [codes, classes].

    >>> gallery = Gallery(torch.tensor([[1.0, 1.0], [1.0, -1.0]]), torch.eye(2))
    >>> flip_gains(gallery, torch.tensor([[1.0, 1.0]]), torch.tensor([[1.0, 0.0]]))
    tensor([[0.0000, 0.5000]], dtype=torch.float64)
    """
    bits = codes.shape[1]
    flips = codes[:, None] * (1 - 2 * torch.eye(bits, device=codes.device, dtype=codes.dtype))
    repeated = labels[:, None].expand(-1, bits, -1).flatten(0, 1)
    flipped = precision_in(gallery, flips.flatten(0, 1), repeated).view(len(codes), bits)
    return (precision_in(gallery, codes, labels)[:, None] - flipped).nan_to_num(0)


def draws_of(model: HashModel, images: ImageSet) -> int:
    """How many passes an image is judged by: 1, or several if the model's codes of the same images differ."""
    some = images.images[torch.arange(min(COMPARED, len(images)))].to(images.labels.device)
    return 1 if torch.equal(encode_batch(model, some), encode_batch(model, some)) else DRAWS
