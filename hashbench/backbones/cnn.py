"""A small convolutional network for images of 8 to 64 pixels."""

from __future__ import annotations

from torch import nn

from hashbench.errors import BadParameter
from hashbench.models.layers import Normalise
from hashbench.registry.decorators import backbone
from hashbench.registry.parameters import Count

# Largest image size, and the strides of the four convolutions up to it, which leave 2 to 4 pixels per side, and 5 or 6
# of images of 17 to 24 pixels.
STRIDES = ((12, (1, 2, 1, 2)), (24, (1, 2, 2, 1)), (32, (2, 2, 2, 1)), (64, (2, 2, 2, 2)))


@backbone("cnn")
def cnn(bits: int, channels: int, size: int, *, width: Count = 32) -> nn.Module:
    """Four 3x3 convolutions with batch norm and ReLU, then a linear layer of `bits` outputs.

    Args:
        width: channels of the first convolution; the others have 2, 4 and 4 times as many.

    Raises:
        BadParameter: the images are smaller than 8 or larger than 64 pixels.
    """
    if not 8 <= size <= 64:
        raise BadParameter(f"backbone 'cnn' takes images of 8 to 64 pixels, not {size}; choose another backbone")
    strides = next(strides for limit, strides in STRIDES if size <= limit)
    layers: list[nn.Module] = [Normalise([0.5] * channels, [0.5] * channels)]
    for outputs, stride in zip((width, 2 * width, 4 * width, 4 * width), strides, strict=True):
        layers += [nn.Conv2d(channels, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
        channels, size = outputs, -(-size // stride)
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * size * size, bits))
