"""The quantisation term of DSDH-C and CSQ-C, added to another method."""

from __future__ import annotations

import torch

from hashbench.registry.protocols import Method
from hashbench.types import BinaryCodes, Codes, Index, Labels, Scalar


class SortedQuantisation(Method):
    """Another method's loss plus the distance of each bit's values to fair random signs.

    The target of each batch is drawn from the global random state.
    """

    def __init__(self, method: Method, weight: float) -> None:
        super().__init__()
        self.method = method
        self.weight = weight

    def forward(self, codes: Codes, labels: Labels, index: Index) -> Scalar:
        """The loss of a batch."""
        distance = sorted_distance(codes, random_signs(codes))
        return self.method(codes, labels, index) + self.weight * distance


def random_signs(codes: Codes) -> BinaryCodes:
    """Random signs of the codes' shape, drawn from the global random state."""
    return torch.sign(torch.randn(codes.shape)).to(codes)


def sorted_distance(codes: Codes, target: BinaryCodes) -> Scalar:
    """Mean squared difference of two batches, with each column sorted separately.

    This is the squared Wasserstein distance between the values of each bit, averaged over bits. The released code
    calls it sliced Wasserstein; its slices are the bits themselves, not random projections.

    >>> sorted_distance(torch.tensor([[1.0], [-1.0]]), torch.tensor([[-1.0], [1.0]]))
    tensor(0.)
    """
    return ((codes.sort(dim=0).values - target.sort(dim=0).values) ** 2).mean()
