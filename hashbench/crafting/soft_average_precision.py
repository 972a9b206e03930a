"""Differentiable average precision: counts per distance in overlapping bins instead of sharp ones."""

from __future__ import annotations

import torch
from torch import Tensor

from hashbench.types import BinaryCodes, Codes, Scores


def soft_average_precision(codes: Codes, database: BinaryCodes, relevant: Tensor, half_width: float) -> Scores:
    """The average precision of relaxed codes, one value in [0, 1] per code; 0 where nothing is relevant.

    With the relaxed distance d = (K - h.u) / 2 to each database code u, an item counts in the bin of distance l,
    l = 0..K, by max(0, 1 - |d - l| / half_width). With n_l items and r_l relevant ones in a bin, and N, R
    their sums up to it, the value is sum_l r_l R_l / N_l / sum_l r_l (the form of He et al., CVPR 2018).

    Args:
        codes: relaxed codes [queries, bits].
        database: binary codes [items, bits].
        relevant: [queries, items], 0 or 1.
        half_width: half the width of a bin, in bits.

    >>> codes, database = torch.tensor([[1.0, 1.0]]), torch.tensor([[1.0, 1.0], [-1.0, -1.0]])
    >>> soft_average_precision(codes, database, torch.tensor([[1.0, 0.0]]), half_width=1.0)
    tensor([1.])
    >>> soft_average_precision(codes, database, torch.tensor([[0.0, 1.0]]), half_width=1.0)
    tensor([0.5000])
    """
    bits = codes.shape[1]
    distances = (bits - codes @ database.T) / 2
    bins = torch.arange(bits + 1, device=codes.device, dtype=codes.dtype)
    members = (1 - (distances[:, :, None] - bins).abs() / half_width).clamp(min=0)
    hits = (members * relevant[:, :, None]).sum(1)
    items, found = members.sum(1).cumsum(1), hits.cumsum(1)
    value: Scores = (hits * found / items.clamp(min=1e-12)).sum(1) / hits.sum(1).clamp(min=1e-12)
    return value
