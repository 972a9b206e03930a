"""What attacks minimise: functions of relaxed codes, one value per query, that never mix queries.

Published code averages some of these over a batch. Where only the scale of a query's gradient depends
on the batch, the value here is the query's own.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hashbench.models.model import binarize
from hashbench.types import BinaryCodes, Codes, GuideCodes, Scores


def agreement(codes: Codes, guide: GuideCodes) -> Scores:
    """Mean product of code and guide: CgAT's objective (Wang et al., WWW 2023); DHTA's and THA's negated.

    >>> agreement(torch.tensor([[1.0, 0.5]]), torch.tensor([[1.0, -1.0]]))
    tensor([0.2500])
    """
    return (codes * guide).mean(1)


def disagreement(codes: Codes, guide: GuideCodes) -> Scores:
    """Minus the mean product of code and guide (DHTA, ECCV 2020; THA, SIGIR 2021)."""
    return -agreement(codes, guide)


def masked_agreement(codes: Codes, guide: GuideCodes) -> Scores:
    """Mean of (s + 2) s over the bits with s > -1/2, s the product of code and guide.

    The quadratic puts the gradient on bits that still agree; the mask drops those that have moved far enough
    (released with SAAT, Yuan et al., TIFS 2023, whose mask is counted over the whole batch).

    >>> masked_agreement(torch.tensor([[1.0, -0.75]]), torch.tensor([[1.0, 1.0]]))
    tensor([3.])
    """
    mask = unfinished(codes, guide)
    product = codes * guide
    return (mask * (product + 2) * product).sum(1) / mask.sum(1).clamp(min=1)


def masked_disagreement(codes: Codes, guide: GuideCodes) -> Scores:
    """Targeted form of `masked_agreement`: minus the mean of (s + 2) s over the bits with s < 1/2."""
    mask = unfinished(codes, -guide)
    product = codes * guide
    return -(mask * (product + 2) * product).sum(1) / mask.sum(1).clamp(min=1)


def unfinished(codes: Codes, guide: GuideCodes) -> Tensor:
    """Which bits are not yet half way from the guide to its opposite, as 0 or 1, without gradient.

    >>> unfinished(torch.tensor([[0.75, -0.25, -0.75]]), torch.ones(1, 3))
    tensor([[1., 1., 0.]])
    """
    return ((codes * guide).detach() > -0.5).to(codes.dtype)


def clipped_agreement(codes: Codes, guide: GuideCodes) -> Scores:
    """Mean of (s + 2) s with s clipped at -1/2: has the direction of `masked_agreement` and ranks iterates.

    The masked mean itself can't rank them: it rises when an easy bit drops out.
    """
    product = (codes * guide).clamp(min=-0.5)
    return ((product + 2) * product).mean(1)


def clipped_disagreement(codes: Codes, guide: GuideCodes) -> Scores:
    """Minus the mean of (s + 2) s with s clipped at 1/2: ranks iterates of `masked_disagreement`."""
    product = (codes * guide).clamp(max=0.5)
    return -((product + 2) * product).mean(1)


def masked_departure(codes: Codes, own: Codes, weight: float = 1.0) -> Scores:
    """HAG's objective for relaxed codes and the clean relaxed codes `own` (Yang et al., TCYB 2020).

    With the mask of bits that differ from the clean sign by less than 1.5, as SAAT implements it:
    (masked mean of code times own + 1)^2 + weight (sum of masked code / bits)^2.
    """
    mask = ((codes - own.sign()).abs().detach() < 1.5).to(codes.dtype)
    away = (mask * codes * own).sum(1) / (mask.sum(1) + 1e-8) + 1
    return away**2 + weight * (mask * codes).mean(1) ** 2


def surrogate_distance(
    codes: Codes, memory: BinaryCodes, relevant: Tensor, sharpness: float = 5.0, power: float = -0.5
) -> Scores:
    """SDHA's weighted distance to the relevant codes (Lu et al., ICMR 2021, as SAAT implements it).

    The mean over relevant codes r of w d, where d sums 0.5 |q - r| sig(s q r) + 1 - sig(s q r) over the
    bits and w = (Hamming distance + 1e-8) ** power, without gradient.

    Args:
        codes: [queries, bits].
        memory: [items, bits].
        relevant: [queries, items], 0 or 1, with at least one 1 per row.
    """
    gate = torch.sigmoid(sharpness * codes)  # sig(s q r) is gate where r = 1, and 1 - gate where r = -1
    ones = 0.5 * (1 - codes).abs() * gate + 1 - gate
    minus = 0.5 * (1 + codes).abs() * (1 - gate) + gate
    weights = (hamming(codes, memory) + 1e-8) ** power
    return _mean_over(relevant, weights * _chosen(ones, minus, memory))


def weighted_distance(codes: Codes, memory: BinaryCodes, relevant: Tensor) -> Scores:
    """What `surrogate_distance` stands for: the mean of D (D + 1) ** -0.5, D the Hamming distance.

    The offset is 1 here: with the published 1e-8 a code at distance 0 weighs 10,000 times as much as one at distance
    1, which helps to get away from it but not to rank images.
    """
    apart = hamming(codes, memory)
    return _mean_over(relevant, apart * (apart + 1) ** -0.5)


def hamming(codes: Codes, memory: BinaryCodes) -> Tensor:
    """Hamming distances between the signs of codes and binary codes, [codes, memory], without gradient.

    >>> hamming(torch.tensor([[0.3, -0.2, 0.9]]), torch.tensor([[1.0, -1.0, 1.0], [-1.0, 1.0, 1.0]]))
    tensor([[0., 2.]])
    """
    distances: Tensor = (codes.shape[1] - binarize(codes.detach()).to(codes.dtype) @ memory.T) / 2
    return distances


def _chosen(ones: Tensor, minus: Tensor, memory: BinaryCodes) -> Tensor:
    """Sums over the bits of `ones` where an item's bit is +1 and of `minus` where it is -1."""
    positive = (memory + 1) / 2
    sums: Tensor = ones @ positive.T + minus @ (1 - positive).T
    return sums


def _mean_over(relevant: Tensor, values: Tensor) -> Scores:
    mean: Scores = (relevant * values).sum(1) / relevant.sum(1)
    return mean
