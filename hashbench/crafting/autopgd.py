"""AutoPGD: steps of steepest descent with momentum, halved when they stop paying off (Croce and Hein, ICML 2020)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from hashbench.crafting.gradient_loop import Objective, better
from hashbench.threat import Threat
from hashbench.types import Images, Index, Scores

MOMENTUM = 0.75  # weight of the new step; the rest goes to the previous one
PAYING = 0.75  # share of steps that must improve the score, or the step size is halved; the first look counts as one
FIRST, SHRINK, SHORTEST = 0.22, 0.03, 0.06  # intervals between check points, as shares of the steps


@dataclass
class State:
    """The state of a search, a row per image: current, previous and best iterate, scores and step size."""

    images: Images
    previous: Images
    best: Images
    best_gradient: Images
    best_scores: Scores
    scores: Scores
    size: Images
    successes: Tensor
    scores_at_check: Scores
    halved_at_check: Tensor

    def take(self, rows: Index) -> State:
        """The state of some of the images."""
        return State(**{name: value[rows] for name, value in vars(self).items()})


def auto_pgd(
    start: Images,
    clean: Images,
    objective: Objective,
    threat: Threat,
    *,
    steps: int,
    rows: Index | None = None,
    first_step: float = 2.0,
) -> tuple[Images, Scores]:
    """Minimise an objective's score within the budget by AutoPGD, each image by itself.

    At check points, which come at shrinking intervals, an image's step size is halved and
    its search resumes from its best point if fewer than three in four steps improved its score, or if neither its
    step size nor its best score has changed since the previous check point.

    Args:
        start: where to begin, within the budget around `clean`.
        objective: images that are done stop early.
        steps: gradient steps per image.
        rows: the images to move, all by default; the others come back with an infinite score.
        first_step: size of the first steps divided by eps; smaller than 2 where the start is good already.

    Returns:
        Each image's best iterate, and its score; minus infinity where it stopped early.
    """
    rows = torch.arange(len(start), device=start.device) if rows is None else rows
    kept, kept_scores = start.clone(), torch.full((len(start),), torch.inf, device=start.device, dtype=start.dtype)
    state, checks, last_check = _begin(start[rows], first_step * threat.eps), check_points(steps), 0
    for step in range(steps):
        if not len(rows):
            return kept, kept_scores
        gradient, done = _look(state, rows, objective, step / steps)
        kept[rows], kept_scores[rows] = state.best, state.best_scores
        kept[rows[done]], kept_scores[rows[done]] = state.images[done], -torch.inf
        away = (~done).nonzero().flatten()
        rows, state, gradient = rows[away], state.take(away), gradient[away]
        if step in checks:
            gradient = _check(state, gradient, step - last_check)
            last_check = step
        _advance(state, gradient, clean[rows], threat, first=step == 0)
    if not len(rows):
        return kept, kept_scores
    with torch.no_grad():
        last = objective(state.images, rows, 1.0)
    scores = last.score.masked_fill(last.done, -torch.inf)
    kept[rows], kept_scores[rows] = better(state.best, state.best_scores, state.images, scores)
    return kept, kept_scores


def check_points(steps: int) -> list[int]:
    """After how many steps the step size is checked.

    >>> check_points(100)
    [22, 41, 57, 70, 80, 87, 93, 99]
    """
    points, interval = [0.0, FIRST], FIRST
    while points[-1] < 1:
        interval = max(interval - SHRINK, SHORTEST)
        points.append(points[-1] + interval)
    return [math.ceil(round(point * steps, 6)) for point in points[1:] if point <= 1]


def _begin(start: Images, step: float) -> State:
    never = torch.full((len(start),), torch.inf, device=start.device, dtype=start.dtype)
    size = torch.full((len(start), 1, 1, 1), step, device=start.device, dtype=start.dtype)
    no = torch.zeros(len(start), dtype=torch.bool, device=start.device)
    return State(start, start, start, torch.zeros_like(start), never, never, size, no.long(), never, no)


def _look(state: State, rows: Index, objective: Objective, progress: float) -> tuple[Images, Tensor]:
    """The gradient at the images, and which are done; records scores and best iterates."""
    images = state.images.detach().requires_grad_()
    outcome = objective(images, rows, progress)
    (gradient,) = torch.autograd.grad(outcome.loss.sum(), images)
    scores = outcome.score.detach()
    state.successes = state.successes + (scores < state.scores)
    state.scores = scores
    state.best_gradient, _ = better(state.best_gradient, state.best_scores, gradient, scores)
    state.best, state.best_scores = better(state.best, state.best_scores, state.images, scores)
    return gradient, outcome.done


def _check(state: State, gradient: Images, window: int) -> Images:
    """Halve the step sizes that do not pay off and reset those images to their best; returns the gradients."""
    stuck = ~state.halved_at_check & (state.best_scores == state.scores_at_check)
    halve = (state.successes < PAYING * window) | stuck
    wide = halve[:, None, None, None]
    state.size = torch.where(wide, state.size / 2, state.size)
    state.images = torch.where(wide, state.best, state.images)
    state.previous = torch.where(wide, state.best, state.previous)
    state.scores = torch.where(halve, state.best_scores, state.scores)
    state.halved_at_check, state.scores_at_check = halve, state.best_scores
    state.successes = torch.zeros_like(state.successes)
    return torch.where(wide, state.best_gradient, gradient)


def _advance(state: State, gradient: Images, clean: Images, threat: Threat, *, first: bool) -> None:
    """One step with momentum; the first step has none."""
    share = 1.0 if first else MOMENTUM
    stepped = threat.project(state.images - state.size * threat.steepest(gradient), clean)
    ahead = state.images + share * (stepped - state.images) + (1 - share) * (state.images - state.previous)
    state.previous, state.images = state.images, threat.project(ahead, clean)
