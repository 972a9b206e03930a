"""The one gradient loop that attacks and adversarial trainings share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from hashbench.moves import Move, StepSize, sign_steps
from hashbench.threat import Threat
from hashbench.types import Images, Index, Scores

Objective = Callable[[Images], Scores]


@dataclass(frozen=True)
class Outcome:
    """What an objective says of images on their way.

    Attributes:
        loss: its gradient drives the images; one value an image.
        score: ranks an image's iterates, lower is better, in one unit for the whole way.
        reached: which images have nothing left to gain and leave.
    """

    loss: Scores
    score: Scores
    reached: Tensor


# Images on their way, their positions in the batch, progress in [0, 1) -> outcome.
# Values of other images must not enter an image's outcome.
Guidance = Callable[[Images, Index, float], Outcome]


def walk(
    start: Images,
    clean: Images,
    guidance: Guidance,
    threat: Threat,
    *,
    steps: int,
    move: Move,
    rows: Index | None = None,
    keep_best: bool = True,
) -> tuple[Images, Scores]:
    """Move images against the gradient inside the threat, until each has reached its goal.

    Args:
        start: where to begin, inside the threat around `clean`.
        rows: the images that set out, all by default; the others come back with an infinite score.
        keep_best: return each image's best iterate, at the price of one more forward pass; otherwise
            the last one, with the score one step before it.

    Returns:
        Images, and their scores; minus infinity for those that reached their goal.
    """
    rows = torch.arange(len(start), device=start.device) if rows is None else rows
    kept, kept_scores = start.clone(), torch.full((len(start),), torch.inf, device=start.device, dtype=start.dtype)
    images = start[rows]
    for step in range(steps):
        if not len(rows):
            return kept, kept_scores
        images = images.detach().requires_grad_()
        outcome = guidance(images, rows, step / steps)
        (gradient,) = torch.autograd.grad(outcome.loss.sum(), images)
        images = images.detach()
        _keep(kept, kept_scores, rows, images, outcome, always=not keep_best)
        away = (~outcome.reached).nonzero().flatten()
        rows, images, gradient = rows[away], images[away], gradient[away]
        images = threat.project(images - move(gradient, rows, step / steps), clean[rows])
    if not keep_best:
        kept[rows] = images
    elif len(rows):
        with torch.no_grad():
            _keep(kept, kept_scores, rows, images, guidance(images, rows, 1.0))
    return kept, kept_scores


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

    def guidance(images: Images, rows: Index, progress: float) -> Outcome:
        scores = objective(images)
        return Outcome(scores, scores.detach(), torch.zeros_like(scores, dtype=torch.bool))

    move = sign_steps(step_size)
    return walk(start, clean, guidance, threat, steps=steps, move=move, keep_best=keep_best)


def better(images: Images, scores: Scores, others: Images, other_scores: Scores) -> tuple[Images, Scores]:
    """Of two batches, for each position the image with the lower score; the first wins a tie."""
    wins = other_scores < scores
    return torch.where(wins[:, None, None, None], others, images), torch.where(wins, other_scores, scores)


def _keep(
    kept: Images, kept_scores: Scores, rows: Index, images: Images, outcome: Outcome, *, always: bool = False
) -> None:
    """Note the images that are better than what is kept of them, in place."""
    scores = outcome.score.detach().masked_fill(outcome.reached, -torch.inf)
    wins = (scores < kept_scores[rows]) | always
    kept[rows[wins]] = images[wins]
    kept_scores[rows[wins]] = scores[wins]
