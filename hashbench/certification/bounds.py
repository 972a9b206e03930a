"""Bounds of a hashing model's logits over all images of a threat.

They are made in double precision, with a margin for the single precision in which the model runs, so that a fixed
bit is fixed for the deployed model too.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn.modules import module as of_all_modules

from hashbench.certification.crown import lower_bounds
from hashbench.certification.graph import Graph, check_hooks, trace
from hashbench.certification.intervals import Bounds, Box, propagate
from hashbench.certification.refusal import NoCertificate
from hashbench.errors import BadParameter
from hashbench.models.layers import replaced_methods
from hashbench.models.model import HashModel, frozen
from hashbench.types import Codes, Images

RELATIVE = 1e-6  # margin for rounding, as a share of the logits' size
SEEN = 4.0  # a margin is no smaller than this many times the rounding that is seen on the images themselves
STRANGE = 1e-2  # of the logits' size: rounding does not go so far, so the steps are not the network
TOLERANCE = 1e-6  # how far the judge lets pixels leave the threat
HOPELESS = 1e-2  # of the logits' bounds: what single precision puts so far below 0 is not above it in double
VALUES = 1 << 24  # numbers of all layers that are held at once

Rule = Literal["intervals", "crown"]


@dataclass(frozen=True)
class LogitBounds:
    """Per image and bit [images, bits], double precision: no image of the threat has a logit outside.

    `clean` are the logits of the images themselves. Bounds include the margin for rounding.
    """

    lower: Tensor
    upper: Tensor
    clean: Tensor

    @property
    def fixed(self) -> Tensor:
        """Which bits no image within the threat can change; the sign of 0 is +1."""
        return (self.lower >= 0) | (self.upper < 0)


def logit_bounds(
    model: HashModel, images: Images, eps: float, *, rule: Rule = "crown", all_bits: bool = False
) -> LogitBounds:
    """Bounds of the logits over the l-inf ball around each image, within [0, 1].

    Pixels may leave both by 1e-6, as the judge allows. With `crown`, bits already fixed by intervals are skipped,
    and so are those that single precision shows to stay free; for the others, only the bound that could fix them is
    tightened, on the side of the clean logit.

    Args:
        images: pixels in [0, 1].
        eps: radius of the ball in pixel units of [0, 1].
        all_bits: with `crown`, tighten both bounds of all bits.

    Raises:
        NoCertificate: a layer has no rule, a hook may change what it gives, or the model draws random numbers.
        BadParameter: eps outside [0, 1].
    """
    if not 0 <= eps <= 1:
        raise BadParameter(f"eps={eps:g} is outside [0, 1]; it is in pixel units of [0, 1], write 8/255, not 8")
    _check_whole(model)
    with frozen(model), torch.no_grad():
        double = trace(copy.deepcopy(model.network).double().requires_grad_(False))
        single = None
        if rule == "crown" and not all_bits:
            single = trace(copy.deepcopy(model.network).float().requires_grad_(False))
        per_image = sum(shape.numel() for shape in _shapes(double, images).values())
        parts = [
            _of_batch(double, single, model, part, eps, rule)
            for part in torch.split(images, max(1, VALUES // per_image))
        ]
    return LogitBounds(*(torch.cat(values) for values in zip(*parts, strict=True)))


def _check_whole(model: HashModel) -> None:
    """Reject hooks of all modules, of the model and of its network: `trace` takes such a network, as trainings hook it.

    Raises:
        NoCertificate: a hook is there, or the model has a method of its own.
    """
    check_hooks(model, "the model")
    check_hooks(model.network, "the network")
    if of_all_modules._global_forward_hooks or of_all_modules._global_forward_pre_hooks:
        raise NoCertificate("no bounds are known while torch has a hook on every module; remove it")
    if replaced := replaced_methods(model):
        raise NoCertificate(f"no bounds are known for a model with a {replaced[0]} of its own; give it a network alone")


def threat_box(images: Images, eps: float) -> Box:
    """Double-precision boxes of the pixels that the judge accepts."""
    pixels = images.double()
    return Box((pixels - eps).clamp(min=0) - TOLERANCE, (pixels + eps).clamp(max=1) + TOLERANCE)


def _shapes(graph: Graph, images: Images) -> dict[int, torch.Size]:
    one = images[:1].double()
    return propagate(graph, Box(one, one)).shapes


def _of_batch(
    graph: Graph, single: Graph | None, model: HashModel, images: Images, eps: float, rule: Rule
) -> tuple[Tensor, Tensor, Tensor]:
    """Lower and upper bounds and clean logits [n, bits]; those of all bits are tightened without `single`."""
    exact = propagate(graph, Box(images.double(), images.double())).logits.lower
    box = threat_box(images, eps)
    bounds = propagate(graph, box, keep=rule == "crown")
    ends = _ends(bounds)
    margin = _margin(exact, model.logits(images), ends)
    lower, upper = bounds.logits.lower - margin, bounds.logits.upper + margin
    if rule == "crown":
        rise, fall = (torch.ones_like(lower, dtype=torch.bool),) * 2
        if single is not None:
            free = (lower < 0) & (upper >= 0)
            rise, fall = (
                wanted & (_one_sided(single, box, bounds, wanted, sign, torch.float32) > -HOPELESS * ends)
                for wanted, sign in ((free & (exact >= 0), 1.0), (free & (exact < 0), -1.0))
            )
        lower = torch.maximum(lower, _one_sided(graph, box, bounds, rise, 1.0) - margin)
        upper = torch.minimum(upper, -_one_sided(graph, box, bounds, fall, -1.0) + margin)
    return lower, upper, exact


def _one_sided(
    graph: Graph, box: Box, bounds: Bounds, wanted: Tensor, sign: float, dtype: torch.dtype = torch.float64
) -> Tensor:
    """Lower bounds [images, bits] of the logits times a sign where they are wanted, minus infinity elsewhere.

    Args:
        dtype: of the graph's weights.
    """
    rows, bits = wanted.nonzero(as_tuple=True)
    weights = box.lower.new_zeros(len(rows), wanted.shape[1], dtype=dtype)
    weights[torch.arange(len(rows), device=rows.device), bits] = sign
    found = box.lower.new_full(wanted.shape, -torch.inf)
    found[rows, bits] = lower_bounds(graph, box, bounds, rows, weights).double()
    return found


def _ends(bounds: Bounds) -> Tensor:
    """How far intervals let the logits of each image go, at least 1 [images, 1]."""
    return torch.stack([bounds.logits.lower, bounds.logits.upper]).abs().amax(dim=(0, 2)).clamp(min=1)[:, None]


def _margin(exact: Tensor, deployed: Codes, ends: Tensor) -> Tensor:
    """What rounding is granted [images, 1].

    Raises:
        NoCertificate: the logits of the model are not those of its steps.
    """
    seen = (exact - deployed.double()).abs().amax(1)
    size = exact.abs().amax(1).clamp(min=1)
    if not (seen <= STRANGE * size).all():
        raise NoCertificate(
            f"the model's logits differ by {(seen / size).max():.2g} of their size from those of its layers in turn; "
            "it draws random numbers or its forward pass depends on the images, give it layers alone"
        )
    return torch.maximum(RELATIVE * ends, SEEN * seen[:, None])
