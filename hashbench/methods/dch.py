"""DCH: deep Cauchy hashing for Hamming space retrieval (Cao, Long, Liu and Wang, CVPR 2018)."""

from __future__ import annotations

import torch
from torch import Tensor

from hashbench.registry.decorators import method
from hashbench.registry.parameters import NonNegative, Positive
from hashbench.registry.protocols import Method
from hashbench.types import Codes, Index, Labels, Scalar

NEAREST = 0.99  # larger cosines are clipped to this, so that the logarithm stays finite
SMALLEST = 1e-4  # lower bound of a product of norms


@method("dch", paper="Cao, Long, Liu and Wang, CVPR 2018")
def dch(codes: Codes, labels: Labels, *, gamma: Positive = 20.0, quantisation: NonNegative = 0.1) -> Method:
    """Cauchy cross-entropy of the pairs of a batch, which pulls similar codes into a small radius.

    Trains from scratch; keeps no memory of the training set. The constants are those of the code
    released with CgAT.

    Args:
        gamma: scale of the Cauchy distribution, in bits.
        quantisation: weight of the Cauchy term between |code| and 1.
    """
    return CauchyLikelihood(gamma, quantisation)


class CauchyLikelihood(Method):
    """Weighted mean of s log(d/gamma) + log(1 + gamma/d) over pairs, plus mean log(1 + d(|u|, 1)/gamma)."""

    def __init__(self, gamma: float, quantisation: float) -> None:
        super().__init__()
        self.gamma = gamma
        self.quantisation = quantisation

    def forward(self, codes: Codes, labels: Labels, index: Index) -> Scalar:
        """The loss of a batch; similar and dissimilar pairs have the same total weight."""
        similar = labels @ labels.T > 0
        distance = cosine_distance(codes, codes)
        losses = similar * torch.log(distance / self.gamma) + torch.log(1 + self.gamma / distance)
        rounding = torch.log(1 + cosine_distance(codes.abs(), torch.ones_like(codes[:1])) / self.gamma)
        return (_balance(similar, codes.dtype) * losses).mean() + self.quantisation * rounding.mean()


def cosine_distance(codes: Codes, others: Codes) -> Tensor:
    """(1 - cosine) * bits / 2, [items, others]; for binary codes this is their Hamming distance.

    >>> cosine_distance(torch.tensor([[1.0, 1.0]]), torch.tensor([[1.0, -1.0], [-1.0, -1.0]]))
    tensor([[1., 2.]])
    """
    norms = codes.norm(dim=1, keepdim=True) * others.norm(dim=1)
    cosines: Tensor = codes @ others.T / norms.clamp(min=SMALLEST)
    return (1 - cosines.clamp(max=NEAREST)) * (codes.shape[1] / 2)


def _balance(similar: Tensor, dtype: torch.dtype) -> Tensor:
    """A weight for each pair: all pairs over pairs of its kind, or 1 if there is only one kind."""
    ones = similar.sum(dtype=dtype)
    zeros = similar.numel() - ones
    if ones == 0 or zeros == 0:
        return torch.ones_like(similar, dtype=dtype)
    return torch.where(similar, similar.numel() / ones, similar.numel() / zeros)
