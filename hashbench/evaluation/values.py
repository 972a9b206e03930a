"""Gradients against values: whether logits move as their derivative says, and whether they move at all.

After the checks of Carlini et al., arXiv 1902.06705: a gradient that isn't the function's own leads attacks astray.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from hashbench.models.model import HashModel, binarize
from hashbench.models.precision import network_precision
from hashbench.models.transformed import innermost, is_straight_through
from hashbench.seeds import seeded
from hashbench.types import Codes, GuideCodes, Images, Scores

DOUBLE_STEPS, SINGLE_STEPS = (1e-6, 1e-4), (1e-3, 1e-2)  # of finite differences, in pixels
INWARD, JITTER = 0.02, 0.005  # points lie a little inside [0, 1], off the ties of flat regions
WRONG = 0.2  # relative error of a derivative; on sound models below 1e-4 but for kinks
ANOTHER = 1e-3  # mean change of relaxed codes between passes with and without gradients
STILL = 1e-4  # move of logits relative to their size; noise alone moves sound models by 1e-2
VANISHED = 1e-6  # a code whose largest relaxed bit is below can't be seen by attacks through a tanh

Logits = Callable[[Images], Codes]


def wrong_share(
    model: HashModel, points: Sequence[Images], guide: GuideCodes, noise: Images, seed: int, *, declared: bool
) -> Scores:
    """The share of each image's directional derivatives that disagree with finite differences, [images].

    At each point along the gradient's signs and along random signs the derivative of the logits' agreement with the
    guide is compared with central differences, in double precision where the network allows it; of several steps
    the one that agrees best counts. A pass without gradients that gives other codes than one with them is wrong too.

    Args:
        points: batches of images to look around.
        noise: uniform numbers in [-1, 1) of the images' shape.
        seed: of random numbers that the model draws, the same for all its values.
        declared: the model declares a transformation; what lies behind it is looked at. A network with a
            straight-through part that isn't declared is not judged.
    """
    network = innermost(model) if declared else model.network
    with seeded(seed):
        asking = points[0].clone().requires_grad_()
        if is_straight_through(network(asking)):
            return torch.zeros(len(asking), dtype=torch.float64, device=asking.device)
    values, steps = _doubled(network, points[0], seed)
    wrong = [_another(network, point, seed) for point in points]
    for point in points:
        start = (1 - INWARD) * point + INWARD / 2 + JITTER * noise
        wrong += _errors(values, start, guide, noise, steps)
    return torch.stack(wrong).double().mean(0)


def still(model: HashModel, clean: Images, tried: Sequence[Images], seed: int) -> Scores:
    """1 for images whose logits none of the tried images moves, or whose relaxed codes vanish, else 0: [images]."""
    with torch.no_grad():

        def logits(images: Images) -> Codes:
            with seeded(seed):
                return model.logits(images)

        before = logits(clean)
        size = before.double().abs().mean().clamp(min=torch.finfo(torch.float64).tiny)
        moves = [(logits(images) - before).double().abs().mean(1) / size for images in tried]
        vanished = torch.tanh(before).abs().amax(1) < VANISHED
    found: Scores = (vanished | (torch.stack(moves).amax(0) < STILL)).double()
    return found


def _another(network: nn.Module, images: Images, seed: int) -> Tensor:
    """Which images get other codes when gradients are requested."""
    with seeded(seed):
        asked = network(images.clone().requires_grad_()).detach()
    with seeded(seed), torch.no_grad():
        silent = network(images)
    return (torch.tanh(asked) - torch.tanh(silent)).abs().mean(1) + (binarize(asked) != binarize(silent)).double().mean(
        1
    ) > ANOTHER


def _doubled(network: nn.Module, images: Images, seed: int) -> tuple[Logits, tuple[float, ...]]:
    """The network's logits in double precision with the steps for it; in single precision where it refuses."""

    def seeded_logits(inner: nn.Module, dtype: torch.dtype) -> Logits:
        def logits(asked: Images) -> Codes:
            with seeded(seed), network_precision(asked.device):
                found: Codes = inner(asked.to(dtype))
            return found.double() + 0 * asked.flatten(1).mean(1, keepdim=True)  # so that there is a gradient

        return logits

    try:
        double = seeded_logits(copy.deepcopy(network).double(), torch.float64)
        with torch.no_grad():
            raw = copy.deepcopy(network).double()(images[:1].double())
        if raw.dtype == torch.float64 and bool(torch.isfinite(raw).all()):
            return double, DOUBLE_STEPS
    except Exception:  # noqa: BLE001, S110  # a network of someone's own may not know of double precision
        pass
    return seeded_logits(network, torch.float32), SINGLE_STEPS


def _errors(values: Logits, start: Images, guide: GuideCodes, noise: Images, steps: Sequence[float]) -> list[Tensor]:
    """Which images have wrong derivatives, along the gradient's signs and along random signs."""
    asking = start.double().requires_grad_()
    logits = values(asking)
    weights = guide.double() / logits.detach().abs().mean().clamp(min=torch.finfo(torch.float64).tiny)
    (gradient,) = torch.autograd.grad((logits * weights).mean(1).sum(), asking)
    found = []
    for direction in (gradient.sign(), noise.double().sign()):
        claimed = (gradient * direction).flatten(1).sum(1)
        floor = 0.1 * gradient.flatten(1).norm(dim=1)
        least = torch.full_like(claimed, torch.inf)
        for step in steps:
            with torch.no_grad():
                ahead, behind = (values(start.double() + sign * step * direction) for sign in (1, -1))
                seen = ((ahead - behind) * weights).mean(1) / (2 * step)
            scale = torch.stack([claimed.abs(), seen.abs(), floor]).amax(0).clamp(min=torch.finfo(torch.float64).tiny)
            least = torch.minimum(least, (seen - claimed).abs() / scale)
        found.append(least > WRONG)
    return found
