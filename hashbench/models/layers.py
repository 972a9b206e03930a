"""Layers that backbones share, the layer that makes the code, and whether a layer does only what its type does."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from hashbench.errors import BadParameter
from hashbench.types import Images


class Normalise(nn.Module):
    """Computes (pixels - mean) / std for each channel of images in [0, 1].

    Args:
        mean: one mean for each channel.
        std: one standard deviation for each channel.
        layout: how the result lies in memory. With channels_last, depthwise convolutions take half to two thirds of
            their time on a CPU (a network of this layout is the same function, up to rounding).

    >>> Normalise([0.5], [0.5])(torch.tensor([[[[0.0, 1.0]]]]))
    tensor([[[[-1.,  1.]]]])
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, mean: Sequence[float], std: Sequence[float], layout: torch.memory_format = torch.preserve_format
    ) -> None:
        super().__init__()
        self.layout = layout
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1))

    def forward(self, images: Images) -> Images:
        """Normalised images of the same shape."""
        normalised: Images = (images - self.mean) / self.std
        return normalised.to(memory_format=self.layout)


class Channels(nn.Module):
    """Turns grey images into three equal channels; images with three channels stay as they are.

    Raises:
        BadParameter: `channels` is neither 1 nor 3.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        if channels not in (1, 3):
            raise BadParameter(f"this network takes images with 1 or 3 channels, not {channels}")

    def forward(self, images: Tensor) -> Tensor:
        """Images with three channels."""
        return images.expand(-1, 3, -1, -1)


def last_linear(network: nn.Module) -> tuple[str, nn.Linear]:
    """The last linear layer of a network, its classifier, with its name.

    Raises:
        BadParameter: the network has no linear layer.
    """
    found = [(name, layer) for name, layer in network.named_modules() if isinstance(layer, nn.Linear)]
    if not found:
        raise BadParameter("this network has no linear layer to replace by a hash layer; choose another network")
    return found[-1]


def is_hooked(module: nn.Module) -> bool:
    """Whether a hook sees, and may change, what goes into a module or what comes out of it."""
    return bool(module._forward_hooks or module._forward_pre_hooks)


def replaced_methods(module: nn.Module) -> list[str]:
    """The methods, `forward` among them, that a module has in place of those of its type.

    >>> layer = nn.Identity()
    >>> layer.forward = lambda images: -images
    >>> replaced_methods(layer)
    ['forward']
    """
    return [name for name in vars(module) if callable(getattr(type(module), name, None))]


def is_plain(module: nn.Module) -> bool:
    """Whether a layer does what its type does: no hook, and no method of its own."""
    return not is_hooked(module) and not replaced_methods(module)
