"""Budgets of the inner attack that differ from image to image of a batch."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hashbench.types import Index, Labels, Scores


class Margins(nn.Module):
    """How well each training image withstood its last attack, and the budgets that follow from it.

    Budgets that grow with an image's own margin are the idea of MMA (Ding et al., ICLR 2020) and of instance-adaptive
    training (Balaji, Goldstein and Hoffman, 2019); here they follow the order within a batch, so that their mean stays.

    Args:
        labels: of the training set [n, classes]; the margins are kept where they are.
        spread: see `budget_shares`.
    """

    values: Tensor

    def __init__(self, labels: Labels, spread: float) -> None:
        super().__init__()
        self.spread = spread
        self.register_buffer("values", torch.zeros(len(labels), device=labels.device))

    def shares(self, index: Index) -> Scores:
        """Shares of the budget for images at some positions in the training set [batch]."""
        return budget_shares(self.values[index], self.spread)

    def note(self, index: Index, agreements: Scores) -> None:
        """Remember the agreements [batch], from -1 to 1, of attacked codes with their guide codes."""
        self.values[index] = agreements.detach().to(self.values)


def budget_shares(margins: Scores, spread: float) -> Scores:
    """1 + spread times each margin's place in the batch, from -1 for the lowest to 1 for the highest.

    Equal margins share their mean place.

    >>> budget_shares(torch.tensor([0.9, -0.2, 0.3]), 0.5).tolist()
    [1.5, 0.5, 1.0]
    >>> budget_shares(torch.tensor([0.7, 0.7, 1.0]), -1.0).tolist()
    [1.5, 1.5, 0.0]
    """
    below = (margins[:, None] > margins).sum(1) - (margins[:, None] < margins).sum(1)
    return 1 + spread * below / max(1, len(margins) - 1)
