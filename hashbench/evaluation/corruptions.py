"""Corruptions: what happens to images without an attacker, at five strengths (after Hendrycks & Dietterich, ICLR 2019).

Their strengths are for photographs of 224 pixels; lengths here are shares of the image's side, so that a strength means
the same at every size. What is random, is drawn for each query by itself, and is the same at all five strengths.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample, interpolate
from torchvision.transforms.v2 import functional as vision

from hashbench.defenses.jpeg import recoded
from hashbench.models.data import Queries
from hashbench.types import Images, Scores

CORRUPTION_VERSION = 1  # raised whenever the same queries come out otherwise
STRENGTHS = (1, 2, 3, 4, 5)


@dataclass(frozen=True)
class Corruption:
    """A corruption with what its strengths stand for.

    Attributes:
        apply: queries and a level -> images of their shape, in [0, 1] or beyond it.
        levels: one for each strength.
        unit: what a level is, for people.
    """

    apply: Callable[[Queries, float], Images]
    levels: tuple[float, ...]
    unit: str

    def __call__(self, queries: Queries, strength: int) -> Images:
        """The queries' images, corrupted at a strength from 1 to 5; pixels stay in [0, 1]."""
        return self.apply(queries, self.levels[strength - 1]).clamp(0, 1).to(queries.images)


def noise(queries: Queries, deviation: float) -> Images:
    """Gaussian noise in each pixel and channel."""
    flat = queries.draw((2, *queries.images.shape[1:]))
    radius = torch.sqrt(-2 * torch.log1p(-flat[:, 0].double()))  # Box & Muller, 1958
    return queries.images + deviation * (radius * torch.cos(2 * math.pi * flat[:, 1].double())).to(queries.images)


def blur(queries: Queries, share: float) -> Images:
    """A Gaussian blur, whose deviation is a share of the side; images are reflected at their edges."""
    deviation = share * queries.images.shape[-1]
    return vision.gaussian_blur(queries.images, [2 * math.ceil(3 * deviation) + 1] * 2, [deviation] * 2)


def jpeg(queries: Queries, quality: float) -> Images:
    """JPEG compression by Pillow."""
    return torch.stack([recoded(image, int(quality)) for image in queries.images.cpu()])


def brightness(queries: Queries, added: float) -> Images:
    """A constant that is added to all pixels."""
    return queries.images + added


def contrast(queries: Queries, kept: float) -> Images:
    """Pixels drawn towards the image's mean, which keep a share of their distance from it."""
    mean = queries.images.mean((1, 2, 3), keepdim=True)
    return mean + kept * (queries.images - mean)


def pixelate(queries: Queries, share: float) -> Images:
    """Fewer and larger pixels: the mean of each area, at a share of the side's pixels."""
    height, width = queries.images.shape[2:]
    small = [max(1, round(share * side)) for side in (height, width)]
    return interpolate(interpolate(queries.images, small, mode="area"), (height, width), mode="nearest-exact")


def crop(queries: Queries, share: float) -> Images:
    """A part of the image, a share of its side long and at a random place, enlarged to its size."""
    places = (1 - share) * (2 * queries.draw((2,)) - 1)
    kept = torch.full_like(places[:, 0], share)
    nothing = torch.zeros_like(kept)
    return _resampled(queries.images, kept, nothing, places[:, 0], places[:, 1])


def rotation(queries: Queries, degrees: float) -> Images:
    """A turn to the left or to the right about the image's centre; what it uncovers is reflected from the inside."""
    sides = torch.where(queries.draw(()) < 0.5, -1.0, 1.0).to(queries.images)
    angles = sides.double() * math.radians(degrees)
    nothing = torch.zeros_like(sides)
    return _resampled(queries.images, angles.cos(), angles.sin(), nothing, nothing)


def _resampled(images: Images, along: Tensor, across: Tensor, right: Scores, down: Scores) -> Images:
    """Images under one linear map each, interpolated bilinearly.

    Args:
        along, across: cosine and sine of a turn, times a scale: [images].
        right, down: the centre of what is shown, in halves of the side: [images].
    """
    rows = (torch.stack([along, -across, right], dim=1), torch.stack([across, along, down], dim=1))
    maps = torch.stack(rows, dim=1).to(images)
    grid = affine_grid(maps, list(images.shape), align_corners=False)
    return grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


CORRUPTIONS: Mapping[str, Corruption] = {
    "noise": Corruption(noise, (0.04, 0.08, 0.12, 0.18, 0.26), "standard deviation, in pixel units of [0, 1]"),
    "blur": Corruption(blur, (0.01, 0.02, 0.03, 0.045, 0.06), "standard deviation, as a share of the side"),
    "jpeg": Corruption(jpeg, (75, 50, 25, 15, 8), "quality"),
    "brightness": Corruption(brightness, (0.1, 0.2, 0.3, 0.4, 0.5), "added to each pixel"),
    "contrast": Corruption(contrast, (0.7, 0.5, 0.35, 0.2, 0.1), "share of the contrast that is kept"),
    "pixelate": Corruption(pixelate, (0.75, 0.6, 0.5, 0.4, 0.3), "pixels a side, as a share of them"),
    "crop": Corruption(crop, (0.95, 0.9, 0.85, 0.8, 0.7), "side of the part that is kept, as a share"),
    "rotation": Corruption(rotation, (5, 10, 15, 20, 30), "degrees to the left or to the right"),
}
