"""The networks and losses of ProS-GAN (Wang et al., CVPR 2021); sizes follow the images.

At 224 pixels and width 64 they are the published ones. For smaller images the discriminator downsamples fewer times,
and the generator crops its maps to the image's size.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from hashbench.types import Images, Labels, Scalar

DOUBLINGS = 4  # of the label map's side
RESIDUAL_BLOCKS = 6
DEEPEST, SMALLEST = 5, 4  # how often the discriminator downsamples; maps below 4 pixels are not halved


class LabelEncoder(nn.Module):
    """Turns a feature vector of labels [images, features] into a map of the image's size."""

    def __init__(self, features: int, channels: int, size: int, width: int) -> None:
        super().__init__()
        self.width, self.size = 2 * width, size
        self.side = -(-size // 2**DOUBLINGS)
        self.project = nn.Sequential(nn.Linear(features, self.width * self.side**2), nn.ReLU())
        widths = [max(self.width >> step, 1) for step in range(DOUBLINGS + 1)]
        layers: list[nn.Module] = []
        for inputs, outputs in itertools.pairwise(widths):
            layers += [nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=False), nn.InstanceNorm2d(outputs), nn.ReLU()]
        self.enlarge = nn.Sequential(*layers, nn.Conv2d(widths[-1], channels, 3, 1, 1, bias=False))

    def forward(self, features: Tensor) -> Images:
        """A map [images, channels, size, size]."""
        seed = self.project(features).view(-1, self.width, self.side, self.side)
        return _cut(self.enlarge(seed), self.size)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.change = nn.Sequential(
            nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.InstanceNorm2d(width), nn.ReLU(),
            nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.InstanceNorm2d(width),
        )  # fmt: skip

    def forward(self, maps: Tensor) -> Tensor:
        """The maps plus the learned change."""
        changed: Tensor = maps + self.change(maps)
        return changed


class Generator(nn.Module):
    """Turns images and the features of target labels into adversarial images, with no bound on the perturbation."""

    def __init__(self, features: int, channels: int, size: int, width: int = 64) -> None:
        super().__init__()
        self.labels = LabelEncoder(features, channels, size, width)
        layers: list[nn.Module] = [nn.Conv2d(2 * channels, width, 7, 1, 3), nn.InstanceNorm2d(width), nn.ReLU()]
        for inputs in (width, 2 * width):
            layers += [nn.Conv2d(inputs, 2 * inputs, 4, 2, 1), nn.InstanceNorm2d(2 * inputs), nn.ReLU()]
        layers += [ResidualBlock(4 * width) for _ in range(RESIDUAL_BLOCKS)]
        for inputs in (4 * width, 2 * width):
            layers += [nn.ConvTranspose2d(inputs, inputs // 2, 4, 2, 1, bias=False)]
            layers += [nn.InstanceNorm2d(inputs // 2), nn.ReLU()]
        self.body = nn.Sequential(*layers)
        self.merge = nn.Conv2d(width + channels, channels, 3, 1, 1, bias=False)

    def forward(self, images: Images, features: Tensor) -> Images:
        """Images in [0, 1] from images in [0, 1]; internally, pixels span [-1, 1]."""
        pixels = 2 * images - 1
        size = images.shape[-1]
        room = -size % 4  # halving the size twice needs a multiple of 4
        mixed = functional.pad(torch.cat([pixels, self.labels(features)], 1), (0, room, 0, room))
        maps = torch.cat([_cut(self.body(mixed), size), pixels], 1)
        made: Images = (torch.tanh(self.merge(maps)) + 1) / 2
        return made


class Discriminator(nn.Module):
    """Gives images a score for each class and one for being generated, [images, classes + 1]."""

    def __init__(self, classes: int, channels: int, size: int, width: int = 64) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs, outputs = channels, width
        while size >= SMALLEST and len(layers) < 2 * DEEPEST:
            layers += [spectral_norm(nn.Conv2d(inputs, outputs, 4, 2, 1)), nn.LeakyReLU(0.01)]
            inputs, outputs, size = outputs, 2 * outputs, size // 2
        self.body = nn.Sequential(*layers)
        self.head = nn.Conv2d(inputs, classes + 1, size, bias=False)

    def forward(self, images: Images) -> Tensor:
        """Scores; the target of the last one is 0 for real images and 1 for generated ones."""
        scores: Tensor = self.head(self.body(2 * images - 1)).flatten(1)
        return scores


def least_squares(scores: Tensor, labels: Labels, made: float) -> Scalar:
    """Mean squared distance of a discriminator's scores to labels with `made` appended to each row (LSGAN)."""
    marks = torch.full((len(labels), 1), made, device=labels.device, dtype=labels.dtype)
    return functional.mse_loss(scores, torch.cat([labels, marks], 1))


def _cut(maps: Tensor, size: int) -> Tensor:
    return maps[..., :size, :size]
