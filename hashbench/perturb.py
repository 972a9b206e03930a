"""The one gradient loop that attacks and adversarial trainings share."""

from __future__ import annotations

from collections.abc import Callable

import torch

from hashbench.threat import Threat
from hashbench.types import Images, Scores

Objective = Callable[[Images], Scores]
StepSize = Callable[[float], float]


def descend(
    start: Images,
    clean: Images,
    objective: Objective,
    threat: Threat,
    *,
    steps: int,
    step_size: StepSize,
    keep_best: bool = True,
) -> tuple[Images, Scores]:
    """Minimise an objective inside the threat by signed gradient steps.

    Args:
        start: where to begin, inside the threat around `clean`.
        objective: images -> one value an image; values of other images must not enter it.
        step_size: progress in [0, 1) -> step in pixel units of [0, 1].
        keep_best: return each image's best iterate, at the price of one more forward pass;
            otherwise the last one, with the values one step before it.
    """
    images = start
    best, best_scores = start, torch.full((len(start),), torch.inf, device=start.device)
    for step in range(steps):
        images = images.detach().requires_grad_()
        scores = objective(images)
        (gradient,) = torch.autograd.grad(scores.sum(), images)
        images, scores = images.detach(), scores.detach()
        best, best_scores = better(best, best_scores, images, scores) if keep_best else (images, scores)
        images = threat.project(images - step_size(step / steps) * gradient.sign(), clean)
    if not keep_best:
        return images, best_scores
    with torch.no_grad():
        return better(best, best_scores, images, objective(images))


def better(images: Images, scores: Scores, others: Images, other_scores: Scores) -> tuple[Images, Scores]:
    """Of two batches, for each position the image with the lower score; the first wins a tie."""
    wins = other_scores < scores
    return torch.where(wins[:, None, None, None], others, images), torch.where(wins, other_scores, scores)
