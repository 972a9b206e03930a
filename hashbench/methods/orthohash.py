"""OrthoHash: deep hashing with a single cosine similarity (Hoe et al., NeurIPS 2021)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from hashbench.methods.csq import hash_centers
from hashbench.registry.decorators import method
from hashbench.registry.parameters import Positive, Seed, Share
from hashbench.registry.protocols import Method
from hashbench.types import BinaryCodes, Codes, Index, Labels, Scalar


@method("orthohash", paper="Hoe et al., NeurIPS 2021")
def orthohash(
    codes: Codes, labels: Labels, *, margin: Share = 0.2, scale: Positive = 8.0, center_seed: Seed = 0
) -> Method:
    """Cross-entropy of the cosines between a code and the orthogonal centers of all classes.

    Trains from scratch; keeps no memory of the training set. The cosine is that of the relaxed code, after the tanh;
    the paper uses the outputs of a batch norm instead, which balances the bits.

    Args:
        margin: what is subtracted from the cosine to an image's own centers.
        scale: factor of the cosines in the softmax.
        center_seed: seed of the centers.
    """
    centers = torch.from_numpy(hash_centers(labels.shape[1], codes.shape[1], center_seed)).to(codes)
    return CenterCosine(centers, margin, scale)


class CenterCosine(Method):
    """Cross-entropy to the classes of each image, which share the target probability evenly."""

    centers: Tensor

    def __init__(self, centers: BinaryCodes, margin: float, scale: float) -> None:
        super().__init__()
        self.register_buffer("centers", centers)
        self.margin = margin
        self.scale = scale

    def forward(self, codes: Codes, labels: Labels, index: Index) -> Scalar:
        """The loss of a batch, a mean over it; an image without labels adds nothing to the sum."""
        cosines = functional.normalize(codes) @ functional.normalize(self.centers).T
        likelihood = functional.log_softmax(self.scale * (cosines - self.margin * labels), dim=1)
        shares = labels / labels.sum(dim=1, keepdim=True).clamp(min=1)
        return -(shares * likelihood).sum(dim=1).mean()
