"""ResNet-20 for small images (He, Zhang, Ren and Sun, CVPR 2016, section 4.2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from hashbench.errors import BadParameter
from hashbench.models.layers import Normalise
from hashbench.registry.decorators import backbone
from hashbench.registry.parameters import Count

STAGES, BLOCKS = 3, 3


@backbone("resnet20", paper="He et al., CVPR 2016, section 4.2")
def resnet20(bits: int, channels: int, size: int, *, width: Count = 16) -> nn.Module:
    """Twenty layers in three stages of three residual blocks, for images of 8 to 64 pixels.

    Args:
        width: channels of the first stage; each further stage doubles them and halves the image.

    Raises:
        BadParameter: the images are smaller than 8 or larger than 64 pixels.
    """
    if not 8 <= size <= 64:
        raise BadParameter(f"backbone 'resnet20' takes images of 8 to 64 pixels, not {size}; choose another backbone")
    layers: list[nn.Module] = [
        Normalise([0.5] * channels, [0.5] * channels),
        nn.Conv2d(channels, width, 3, 1, 1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
    ]
    for stage in range(STAGES):
        for block in range(BLOCKS):
            first = stage > 0 and block == 0
            layers.append(Residual(width // 2 if first else width, width, 2 if first else 1))
        width *= 2
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width // 2, bits))


class Residual(nn.Module):
    """Two 3x3 convolutions and a shortcut without weights, which pads missing channels with zeros."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.stride, self.padding = stride, outputs - inputs
        self.first = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(outputs)

    def forward(self, features: Tensor) -> Tensor:
        """Features of the next layer."""
        inner = torch.relu(self.first_norm(self.first(features)))
        shortcut = functional.pad(features[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.padding))
        return torch.relu(self.second_norm(self.second(inner)) + shortcut)
