"""GreedyHash: towards fast optimisation for accurate hash coding (Su, Zhang, Han and Tian, NeurIPS 2018)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from hashbench.registry.decorators import method
from hashbench.registry.parameters import NonNegative
from hashbench.registry.protocols import Method
from hashbench.types import Codes, Index, Labels, Scalar


@method("greedyhash", paper="Su, Zhang, Han and Tian, NeurIPS 2018")
def greedyhash(codes: Codes, labels: Labels, *, quantisation: NonNegative = 0.1) -> Method:
    """Classify signs of codes with an extra linear layer; gradients pass through the sign unchanged.

    Trains from scratch. Meant for one label per image: of several labels only the first class is learned, as in the
    code released with CgAT, and an image without labels counts as the first class.

    Args:
        quantisation: weight of mean(||code| - 1|^3).
    """
    return SignClassifier(class_means(codes, labels), quantisation)


class SignClassifier(Method):
    """Cross-entropy of sign(u) F^T, F trained along with the network, plus a quantisation term."""

    def __init__(self, weight: Tensor, quantisation: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.quantisation = quantisation

    def forward(self, codes: Codes, labels: Labels, index: Index) -> Scalar:
        """The loss of a batch."""
        signs = codes + (torch.sign(codes) - codes).detach()
        classified = functional.cross_entropy(signs @ self.weight.T, labels.argmax(dim=1))
        return classified + self.quantisation * ((codes.abs() - 1).abs() ** 3).mean()


def class_means(codes: Codes, labels: Labels) -> Tensor:
    """Mean code of each class minus the mean of all codes, [classes, bits]; 0 for a class without images.

    >>> class_means(torch.tensor([[1.0, 1.0], [1.0, -1.0]]), torch.eye(2))
    tensor([[ 0.,  1.],
            [ 0., -1.]])
    """
    centered = codes.detach() - codes.detach().mean(dim=0)
    return labels.T @ centered / labels.sum(dim=0).clamp(min=1)[:, None]
