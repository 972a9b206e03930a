"""The codes of the whole training set, which pairwise methods compare each batch with."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from hashbench.types import Codes, Index, Labels, Scalar


class CodeMemory(nn.Module):
    """The latest relaxed codes [n, bits] and the labels [n, classes] of a training set.

    It starts from the model's own codes. The memory of the released implementations starts from zeros, so that in the
    first epoch most pairs carry no information, and a network trained from scratch tends to collapse.
    """

    codes: Tensor
    labels: Tensor

    def __init__(self, codes: Codes, labels: Labels) -> None:
        super().__init__()
        self.register_buffer("codes", codes.detach().clone())
        self.register_buffer("labels", labels.clone())

    def refresh(self, codes: Codes, labels: Labels, index: Index) -> Tensor:
        """Write a batch into the memory; returns which pairs [batch, n] share a label."""
        self.codes[index] = codes.detach()
        self.labels[index] = labels
        return labels @ self.labels.T > 0


def pair_losses(agreement: Tensor, similar: Tensor) -> Tensor:
    """Logistic loss log(1 + e^t) - s t of each pair, for its agreement t and similarity s.

    >>> pair_losses(torch.tensor([0.0, 10.0]), torch.tensor([True, True])).round(decimals=3)
    tensor([0.6930, 0.0000])
    """
    return functional.softplus(agreement) - similar * agreement


def pair_mean(losses: Tensor, similar: Tensor, balance: bool) -> Scalar:
    """Mean over pairs; with `balance`, the average of the mean over similar and that over dissimilar pairs.

    Where most pairs are dissimilar, the plain mean pushes every code away from the mean of a memory that lags
    behind, and codes that start out alike oscillate instead of separating. Balancing cancels this push.

    >>> losses, similar = torch.tensor([4.0, 1.0, 1.0, 1.0]), torch.tensor([True, False, False, False])
    >>> pair_mean(losses, similar, balance=False).item(), pair_mean(losses, similar, balance=True).item()
    (1.75, 2.5)
    """
    if not balance:
        return losses.mean()
    return (kind_mean(losses, similar) + kind_mean(losses, ~similar)) / 2


def kind_mean(losses: Tensor, where: Tensor) -> Scalar:
    """Mean over the pairs of one kind; 0 if there are none."""
    return (losses * where).sum() / where.sum().clamp(min=1)


def quantisation_error(codes: Codes) -> Scalar:
    """Mean squared distance of relaxed codes to their signs."""
    return ((codes - torch.sign(codes.detach())) ** 2).mean()
