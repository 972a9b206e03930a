"""Step rules: how images move against a gradient."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from hashbench.threat import Threat
from hashbench.types import Images, Index

StepSize = Callable[[float], float]

# Gradients, the images' positions in the batch, progress in [0, 1) -> what to subtract from the images.
StepRule = Callable[[Images, Index, float], Images]


def steepest_steps(threat: Threat, step_size: StepSize) -> StepRule:
    """Steps of a given size in the norm of a threat, in its direction of steepest descent.

    For linf that is the gradient's sign, for l2 the gradient itself, scaled to the step's size.

    >>> gradient, first = torch.tensor([[[[3.0, -4.0]]]]), torch.tensor([0])
    >>> steepest_steps(Threat(1.0), constant(0.5))(gradient, first, 0.0)
    tensor([[[[ 0.5000, -0.5000]]]])
    >>> steepest_steps(Threat(1.0, "l2"), constant(0.5))(gradient, first, 0.0)
    tensor([[[[ 0.3000, -0.4000]]]])
    """

    def step(gradient: Images, rows: Index, progress: float) -> Images:
        return step_size(progress) * threat.steepest(gradient)

    return step


def constant(size: float) -> StepSize:
    """The same step size throughout.

    >>> constant(0.1)(0.9)
    0.1
    """
    return lambda progress: size


def cosine(size: float) -> StepSize:
    """A step size that falls from `size` to zero along half a cosine.

    >>> [round(cosine(1.0)(progress), 3) for progress in (0.0, 0.5, 1.0)]
    [1.0, 0.5, 0.0]
    """
    return lambda progress: size * (1 + math.cos(math.pi * progress)) / 2


def momentum_steps(rate: float, momentum: float, like: Images) -> StepRule:
    """Gradient descent with heavy-ball momentum, as in torch.optim.SGD, for each image by itself.

    >>> rule = momentum_steps(0.1, 0.5, torch.zeros(1, 1, 1, 1))
    >>> [round(rule(torch.ones(1, 1, 1, 1), torch.tensor([0]), 0.0).item(), 3) for _ in range(2)]
    [0.1, 0.15]
    """
    velocity = torch.zeros_like(like)

    def step(gradient: Images, rows: Index, progress: float) -> Images:
        velocity[rows] = momentum * velocity[rows] + gradient
        return rate * velocity[rows]

    return step


def adam_steps(rate: float, like: Images, betas: tuple[float, float] = (0.9, 0.999), floor: float = 1e-8) -> StepRule:
    """Adam (Kingma and Ba, ICLR 2015), for each image by itself.

    >>> rule = adam_steps(0.1, torch.zeros(1, 1, 1, 1))
    >>> round(rule(torch.full((1, 1, 1, 1), 5.0), torch.tensor([0]), 0.0).item(), 3)
    0.1
    """
    mean, square = torch.zeros_like(like), torch.zeros_like(like)
    count = torch.zeros(len(like), 1, 1, 1, device=like.device, dtype=like.dtype)

    def step(gradient: Images, rows: Index, progress: float) -> Images:
        count[rows] += 1
        mean[rows] = betas[0] * mean[rows] + (1 - betas[0]) * gradient
        square[rows] = betas[1] * square[rows] + (1 - betas[1]) * gradient**2
        unbiased = mean[rows] / (1 - betas[0] ** count[rows])
        spread = (square[rows] / (1 - betas[1] ** count[rows])).sqrt()
        return rate * unbiased / (spread + floor)

    return step
