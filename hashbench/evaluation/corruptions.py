"""Corruptions: what happens to images without an attacker, at five strengths (after Hendrycks & Dietterich, ICLR 2019).

What is random is drawn for each query by itself, and is the same at all five strengths.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample, interpolate
from torchvision.transforms.v2 import functional as vision

from hashbench.defenses.jpeg import recoded
from hashbench.errors import BadParameter
from hashbench.evaluation.corruption_levels import LEVELS
from hashbench.models.data import Queries
from hashbench.types import Images, Scores

OF_PICTURES = {"jpeg": (1, 3)}  # corruptions that take pictures alone: images of so many channels
CORRUPTION_VERSION = 1  # raised whenever the same queries come out otherwise


@dataclass(frozen=True)
class Corruption:
    """A corruption with the levels of its strengths.

    Attributes:
        apply: queries and a level -> images of their shape, in [0, 1] or beyond it.
        levels: one for each strength.
    """

    apply: Callable[[Queries, float], Images]
    levels: tuple[float, ...]

    def __call__(self, queries: Queries, strength: int) -> Images:
        """The queries' images, corrupted at a strength from 1 to 5; pixels stay in [0, 1]."""
        return self.apply(queries, self.levels[strength - 1]).clamp(0, 1).to(queries.images)


def noise(queries: Queries, deviation: float) -> Images:
    """Gaussian noise in each pixel and channel."""
    uniform = queries.draw((2, *queries.images.shape[1:])).to(queries.images)
    radius = torch.sqrt(-2 * torch.log1p(-uniform[:, 0]))  # Box & Muller, 1958
    return queries.images + deviation * radius * torch.cos(2 * math.pi * uniform[:, 1])


def blur(queries: Queries, share: float) -> Images:
    """A Gaussian blur, whose deviation is a share of the side; images are reflected at their edges."""
    deviation = share * queries.images.shape[-1]
    size = 2 * math.ceil(3 * deviation) + 1
    blurred: Images = vision.gaussian_blur(queries.images, [size, size], [deviation, deviation])
    return blurred


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
    angle, nothing = math.radians(degrees), torch.zeros_like(sides)
    along = torch.full_like(sides, math.cos(angle))
    return _resampled(queries.images, along, sides * math.sin(angle), nothing, nothing)


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


_FUNCTIONS = (noise, blur, jpeg, brightness, contrast, pixelate, crop, rotation)
CORRUPTIONS: Mapping[str, Corruption] = {
    function.__name__: Corruption(function, LEVELS[function.__name__].levels) for function in _FUNCTIONS
}


def check_channels(names: Sequence[str], channels: int) -> None:
    """Refuse corruptions that do not take images of so many channels.

    Args:
        names: of CORRUPTIONS.

    Raises:
        BadParameter: one does not; the message names those that do.
    """
    if odd := [name for name in names if channels not in OF_PICTURES.get(name, (channels,))]:
        wanted = " or ".join(map(str, OF_PICTURES[odd[0]]))
        rest = " ".join(f"--corruption {name}" for name in names if name not in odd)
        others = rest or "another --corruption"
        raise BadParameter(f"{odd[0]} takes images of {wanted} channels, and these have {channels}; give {others}")
