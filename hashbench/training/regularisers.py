"""What may be added to a guided training, most of it against fitting few images too closely: AWP, CutMix, warps."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional

from hashbench.models.model import HashModel
from hashbench.registry.parameters import Later, NonNegative, Share, SignedShare, Value
from hashbench.types import Codes, Images, Index, Scalar

# What lap-2 has beside its loss, for other trainings too (docs/lap-2.md): decoupled weight decay, an inner attack
# beyond the budget, and mixed batches.
DECAY: Mapping[str, Value] = {"optimiser": "adamw", "weight_decay": 0.1}
UNMIXED: Mapping[str, Value] = {**DECAY, "reach": 1.5}
REGULARISED: Mapping[str, Value] = {**UNMIXED, "cutmix": 0.25}
TURN, STRETCH, SHIFT = math.radians(15), 0.15, 1 / 8  # of `warped_batch` at strength 1
LEAST_NORM = 1e-12  # of a gradient, where the direction of a weight's perturbation is computed


@dataclass(frozen=True)
class Regularisers:
    """Additions to the loss of a guided training; all are off by default.

    Args:
        awp: radius of the adversarial perturbation of weights, relative to the norm of each weight tensor; 0.005 in the
            paper (Wu, Xia and Wang, NeurIPS 2020). It costs a second pass of a batch's clean and crafted images.
        cutmix: probability that a batch is mixed: a rectangle of each image comes from another image of the batch,
            and both images' hashing losses and guide codes count by their area (Yun et al., ICCV 2019; with
            adversarial training: Rebuffi et al., NeurIPS 2021).
        warp: strength of a random affine map of each image, the same for its clean and its crafted copy, see
            `warped_batch`; 1 turns by up to 15 degrees, scales by up to 15 % and shifts by up to 1/8 of the side.
        interval: weight of the interval term of `mtl-ibp`, beside the other terms; its box grows from 0 over the
            first 70 % of the steps. It costs two passes.
        by_margin: how far budgets of the inner attack differ within a batch: from 1 - by_margin times the budget for
            the image whose code went farthest from its guide code in its last attack, to 1 + by_margin times for the
            one that stayed nearest. Negative values give more to those that gave way.
        unlabelled: how many images of the database, without their labels, join each image of a batch; codes of the
            undefended model stand for their labels. They cost as many passes each as an image of the batch. Such a row
            gets no rank among those that are trained on less.
        cold: begin from random weights, not from those of the undefended model.
    """

    awp: Annotated[NonNegative, Later()] = 0.0
    cutmix: Annotated[Share, Later()] = 0.0
    warp: Annotated[NonNegative, Later()] = 0.0
    interval: Annotated[NonNegative, Later()] = 0.0
    by_margin: Annotated[SignedShare, Later()] = 0.0
    unlabelled: Annotated[NonNegative, Later()] = 0.0
    cold: Annotated[bool, Later()] = False


def warped_batch(images: Images, strength: float) -> Images:
    """The images, each turned, scaled and shifted at random about its center; bilinear, mirrored at the borders.

    Angle, factor and both shifts are uniform: within 15 degrees, 1 +- 0.15 and 1/8 of the side, each times `strength`.
    Random numbers are drawn from the global state, and none if `strength` is 0.

    >>> warped_batch(torch.rand(4, 1, 8, 8), strength=1.0).shape
    torch.Size([4, 1, 8, 8])
    """
    if not strength:
        return images
    draws = strength * (2 * torch.rand(len(images), 4) - 1).to(images.device)
    angle, factor, shift = draws[:, 0] * TURN, 1 + draws[:, 1] * STRETCH, 2 * draws[:, 2:] * SHIFT
    turned = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], dim=1).view(-1, 2, 2)
    maps = torch.cat([factor.view(-1, 1, 1) * turned, shift.unsqueeze(2)], dim=2)
    grid = functional.affine_grid(maps, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


class Mix(NamedTuple):
    """Mixed images, the position of each image's partner in the batch, and the share of the area that is its own."""

    images: Images
    partner: Index
    share: float


def mixed_batch(images: Images, probability: float) -> Mix | None:
    """With some probability, the images with one rectangle of each replaced by that of another image of the batch.

    The share of the area that stays is uniform in [0, 1] before the rectangle, which has the image's proportions and a
    uniform center, is cut at the borders. Random numbers are drawn from the global state, and none if `probability`
    is 0.

    >>> mixed = mixed_batch(torch.rand(4, 1, 8, 8), probability=1.0)
    >>> mixed.images.shape, 0 <= mixed.share <= 1
    (torch.Size([4, 1, 8, 8]), True)
    """
    if not probability or torch.rand(()) >= probability:
        return None
    height, width = images.shape[-2:]
    side = (1 - torch.rand(()).item()) ** 0.5
    row, column = (int(torch.randint(length, ())) for length in (height, width))
    top, bottom = _cut(row, side * height, height)
    left, right = _cut(column, side * width, width)
    partner = torch.randperm(len(images)).to(images.device)
    found = images.clone()
    found[..., top:bottom, left:right] = images[partner][..., top:bottom, left:right]
    return Mix(found, partner, 1 - (bottom - top) * (right - left) / (height * width))


def _cut(center: int, length: float, end: int) -> tuple[int, int]:
    return max(0, round(center - length / 2)), min(end, round(center + length / 2))


def perturbed_weights(model: HashModel, loss: Scalar, radius: float) -> dict[str, Tensor]:
    """The weights moved to where the loss is higher: w + radius * |w| * g / |g| for each tensor w of two or more axes.

    g is the loss's gradient, and norms are Euclidean. Gradients of what is computed with the result by `passed` reach
    the model's own weights, as if they stood at the moved place (AWP, Wu, Xia and Wang, NeurIPS 2020, equations 9
    and 10, with one step). Tensors that the loss does not depend on stay where they are and are left out.
    """
    named = {name: weight for name, weight in model.named_parameters() if weight.dim() > 1 and weight.requires_grad}
    slopes = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
    return {
        name: weight + (radius * weight.norm() / slope.norm().clamp(min=LEAST_NORM) * slope).detach()
        for (name, weight), slope in zip(named.items(), slopes, strict=True)
        if slope is not None
    }


def passed(model: HashModel, weights: dict[str, Tensor]) -> Callable[[Images], Codes]:
    """The model as a function of images, with some of its weights replaced."""

    def codes(images: Images) -> Codes:
        found: Codes = functional_call(model, weights, (images,))
        return found

    return codes
