"""Normalisation of pixels, as the first layer of a network."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from hashbench.types import Images


class Normalise(nn.Module):
    """(pixels - mean) / std for each channel of images in [0, 1]."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1))

    def forward(self, images: Images) -> Images:
        """Normalised images of the same shape."""
        normalised: Images = (images - self.mean) / self.std
        return normalised
