"""Layers that backbones share: what pixels pass first, and the layer that makes the code."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from hashbench.errors import BadParameter
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


class Channels(nn.Module):
    """Grey images become three equal channels; images with three stay as they are."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        if channels not in (1, 3):
            raise BadParameter(f"torchvision's networks take images with 1 or 3 channels, not {channels}")

    def forward(self, images: Tensor) -> Tensor:
        """Images with three channels."""
        return images.expand(-1, 3, -1, -1)


def last_linear(network: nn.Module) -> tuple[str, nn.Linear]:
    """The last linear layer of a network, which classifies, with its name."""
    found = [(name, layer) for name, layer in network.named_modules() if isinstance(layer, nn.Linear)]
    if not found:
        raise BadParameter("this network does not end in a linear layer; choose another")
    return found[-1]
