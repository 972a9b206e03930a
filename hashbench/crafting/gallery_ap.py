"""The exact average precision of codes in a victim's gallery, by which attacks choose images and stop early."""

from __future__ import annotations

import torch
from torch import Tensor

from hashbench.metrics.average_precision import average_precision, collapsed
from hashbench.metrics.distance_counts_torch import count_tensors
from hashbench.models.data import Gallery, Victim
from hashbench.models.model import binarize
from hashbench.types import Codes, Labels

NEAR_FLOOR = 0.01  # a query whose AP is this near to the lowest possible one stops early


def exact_precision(victim: Victim, codes: Codes, labels: Labels) -> Tensor:
    """Each code's average precision [codes], expected over the orders of tied items; NaN without a relevant item.

    Args:
        codes: relaxed or binary codes [codes, bits].
        labels: labels of the codes [codes, classes].
    """
    return precision_in(victim.gallery, codes, labels)


def precision_in(gallery: Gallery, codes: Codes, labels: Labels) -> Tensor:
    """The same in any gallery, such as a sample of the victim's."""
    counts = count_tensors(binarize(codes), labels, gallery.codes, gallery.labels)
    return torch.from_numpy(average_precision(counts).expected).to(codes.device)


def lowest_precision(victim: Victim, labels: Labels) -> Tensor:
    """The lowest average precision that any ranking of the gallery gives queries with these labels: [queries]."""
    codes = victim.gallery.codes.new_ones(len(labels), victim.model.bits)
    counts = count_tensors(codes, labels, victim.gallery.codes, victim.gallery.labels)
    return torch.from_numpy(average_precision(collapsed(counts)).low).to(labels.device)
