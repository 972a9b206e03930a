"""The gradient loop that attacks and adversarial trainings share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from hashbench.crafting.step_rules import StepRule, StepSize, steepest_steps
from hashbench.threat import Threat
from hashbench.types import Codes, Images, Index, Scores


@dataclass(frozen=True)
class ObjectiveValue:
    """The value of an objective at the current iterates, one per image.

    Attributes:
        loss: its gradient drives the images.
        score: ranks an image's iterates, lower is better; comparable across the whole search.
        done: which images have nothing left to gain and stop early.
        codes: the images' relaxed codes [images, bits], for searches that keep images by their codes.
    """

    loss: Scores
    score: Scores
    done: Tensor
    codes: Codes | None = None


# Iterates, their positions in the batch, progress in [0, 1) -> their values.
# Values of other images must not enter an image's value.
Objective = Callable[[Images, Index, float], ObjectiveValue]

# Iterates -> one value per image, which is both loss and score; no image stops early.
PlainObjective = Callable[[Images], Scores]


def iterate(
    start: Images,
    clean: Images,
    objective: Objective,
    threat: Threat,
    *,
    steps: int,
    step_rule: StepRule,
    rows: Index | None = None,
    keep_best: bool = True,
) -> tuple[Images, Scores]:
    """Move images against the gradient within the budget, each until it is done.

    Args:
        start: where to begin, within the budget around `clean`.
        rows: the images to move, all by default; the others come back with an infinite score.
        keep_best: return each image's best iterate, at the cost of one more forward pass; otherwise the last one,
            with the score of the iterate before it.

    Returns:
        Images, and their scores; minus infinity for those that stopped early.
    """
    rows = torch.arange(len(start), device=start.device) if rows is None else rows
    kept, kept_scores = start.clone(), torch.full((len(start),), torch.inf, device=start.device, dtype=start.dtype)
    images = start[rows]
    for step in range(steps):
        if not len(rows):
            return kept, kept_scores
        images = images.detach().requires_grad_()
        value = objective(images, rows, step / steps)
        (gradient,) = torch.autograd.grad(value.loss.sum(), images)
        images = images.detach()
        _keep(kept, kept_scores, rows, images, value, always=not keep_best)
        left = (~value.done).nonzero().flatten()
        rows, images, gradient = rows[left], images[left], gradient[left]
        images = threat.project(images - step_rule(gradient, rows, step / steps), clean[rows])
    if not keep_best:
        kept[rows] = images
    elif len(rows):
        with torch.no_grad():
            _keep(kept, kept_scores, rows, images, objective(images, rows, 1.0))
    return kept, kept_scores


def descend(
    start: Images,
    clean: Images,
    objective: PlainObjective,
    threat: Threat,
    *,
    steps: int,
    step_size: StepSize,
    keep_best: bool = True,
) -> tuple[Images, Scores]:
    """Minimise an objective within the budget by steps of steepest descent in its norm.

    Args:
        start: where to begin, within the budget around `clean`.
        objective: images -> one value per image; values of other images must not enter it.
        step_size: progress in [0, 1) -> step size in the threat's norm, in pixel units of [0, 1].
        keep_best: return each image's best iterate, at the cost of one more forward pass; otherwise the last one,
            with the value of the iterate before it.

    >>> clean = torch.full((1, 1, 1, 1), 0.5)
    >>> images, values = descend(
    ...     clean, clean, lambda images: images.flatten(1).sum(1), Threat(0.1), steps=5, step_size=lambda progress: 0.05
    ... )
    >>> round(images.item(), 4), round(values.item(), 4)
    (0.4, 0.4)
    """

    def evaluate(images: Images, rows: Index, progress: float) -> ObjectiveValue:
        return never_done(objective(images))

    rule = steepest_steps(threat, step_size)
    return iterate(start, clean, evaluate, threat, steps=steps, step_rule=rule, keep_best=keep_best)


def never_done(scores: Scores) -> ObjectiveValue:
    """The value of an objective that is both loss and score, and at which no image stops early."""
    return ObjectiveValue(scores, scores.detach(), torch.zeros_like(scores, dtype=torch.bool))


def better(images: Images, scores: Scores, others: Images, other_scores: Scores) -> tuple[Images, Scores]:
    """The image with the lower score at each position of two batches; the first batch wins ties."""
    wins = other_scores < scores
    return torch.where(wins[:, None, None, None], others, images), torch.where(wins, other_scores, scores)


def _keep(
    kept: Images, kept_scores: Scores, rows: Index, images: Images, value: ObjectiveValue, *, always: bool = False
) -> None:
    """Keep the images that are better than those kept so far, in place; no mask makes a GPU's host wait."""
    scores = value.score.detach().masked_fill(value.done, -torch.inf)
    wins = (scores < kept_scores[rows]) | always
    kept[rows] = torch.where(wins[:, None, None, None], images, kept[rows])
    kept_scores[rows] = torch.where(wins, scores, kept_scores[rows])
