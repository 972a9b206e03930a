"""Gradient searches, query by query: restarts, guide codes, the alpha schedule, early stopping."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Annotated, Literal

import torch
from torch import Tensor

from hashbench.crafting.autopgd import auto_pgd
from hashbench.crafting.gradient_loop import Objective, ObjectiveValue, better, iterate, never_done
from hashbench.crafting.objectives import agreement, clipped_agreement, masked_agreement
from hashbench.crafting.step_rules import StepRule, constant, cosine, steepest_steps
from hashbench.models.data import Queries
from hashbench.models.model import HashModel
from hashbench.registry.parameters import Later
from hashbench.threat import Threat
from hashbench.types import Codes, GuideCodes, Images, Index, Scores

Walk = Annotated[Literal["cosine", "official"], Later()]
CodeLoss = Callable[[Codes, GuideCodes], Scores]

# alpha in tanh(alpha * logits) for each tenth of the steps: DHTA's schedule, rescaled to any number of steps.
ALPHA = (0.1, 0.1, 0.1, 0.1, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
DONE = 0.995  # a relaxed bit beyond this has reached its goal, to within half a percent of any mean product
HALF = 0.5  # where the masked objectives drop a bit


def annealed(progress: float) -> float:
    """The scale of the logits inside the tanh after a share of the steps, in [0, 1].

    >>> annealed(0.0), annealed(0.55), annealed(0.99)
    (0.1, 0.2, 1.0)
    """
    return ALPHA[min(int(10 * progress + 1e-9), 9)]


def plain(progress: float) -> float:
    """The scale of the model's own tanh, 1 throughout.

    >>> plain(0.0), plain(0.99)
    (1.0, 1.0)
    """
    return 1.0


def alternating(restarts: int) -> list[Callable[[float], float]]:
    """Scale schedules for a number of restarts, alternating between annealed and plain.

    Annealing gets through the saturated tanh of undefended models; on defended ones it is the weaker of the two.

    >>> [schedule.__name__ for schedule in alternating(3)]
    ['annealed', 'plain', 'annealed']
    """
    return [plain if restart % 2 else annealed for restart in range(restarts)]


def guided(
    model: HashModel,
    guide: GuideCodes,
    goal: GuideCodes,
    *,
    loss: CodeLoss,
    score: CodeLoss,
    alpha: Callable[[float], float] = plain,
    margin: float = DONE,
    size: Scores | None = None,
) -> Objective:
    """An objective made of functions of the relaxed codes [images, bits] and one guide code per query.

    Args:
        goal: the binary codes to reach; a query that has reached its own stops early. A bit of 0 is always reached.
        loss: drives the images, through tanh(alpha(progress) * logits).
        score: ranks iterates, on the model's own relaxed codes.
        margin: how far a relaxed bit must be on its goal's side to have reached it.
        size: what each query's logits are always divided by; 1 by default.
    """

    def objective(images: Images, rows: Index, progress: float) -> ObjectiveValue:
        logits = model.logits(images)
        logits = logits if size is None else logits / size[rows, None]
        relaxed = torch.tanh(logits)
        scale = alpha(progress)
        driven = relaxed if scale == 1 else torch.tanh(scale * logits)
        codes = relaxed.detach()
        return ObjectiveValue(
            loss(driven, guide[rows]), score(codes, guide[rows]), reached(codes, goal[rows], margin), codes
        )

    return objective


def masked(
    model: HashModel, guide: GuideCodes, *, alpha: Callable[[float], float] = plain, size: Scores | None = None
) -> Objective:
    """The masked quadratic objective away from guide codes, which drops bits moved far enough (SAAT, TIFS 2023)."""
    return guided(
        model, guide, -guide, loss=masked_agreement, score=clipped_agreement, alpha=alpha, margin=HALF, size=size
    )


def towards(model: HashModel, guide: GuideCodes, center: GuideCodes) -> Objective:
    """The objective from guide codes to other center codes: half the difference of the code's mean products with both.

    Its score is the mean product with the guide code alone, so that iterates towards several centers are comparable.

    Args:
        guide, center: one code for each query [queries, bits].
    """

    def objective(images: Images, rows: Index, progress: float) -> ObjectiveValue:
        codes = model(images)
        apart = agreement(codes, guide[rows])
        loss = (apart - agreement(codes, center[rows])) / 2
        return replace(never_done(loss), score=apart.detach(), codes=codes.detach())

    return objective


def reached(codes: Codes, goal: GuideCodes, margin: float) -> Tensor:
    """Which codes agree with the goal by a margin in every bit that has one.

    >>> reached(torch.tensor([[0.9, -0.9], [0.9, 0.9]]), torch.tensor([[1.0, -1.0], [1.0, -1.0]]), 0.5)
    tensor([ True, False])
    """
    return ((codes * goal > margin) | (goal == 0)).all(1)


def noisy_start(queries: Queries, threat: Threat, stream: int = 0) -> Images:
    """The queries with the threat's random noise within the budget, other noise for each `stream`."""
    return threat.project(queries.images + threat.noise(queries.random(stream)), queries.images)


def search(
    queries: Queries,
    objectives: Sequence[Objective],
    threat: Threat,
    *,
    steps: int,
    step_rule: Callable[[Images], StepRule],
    random_start: bool = True,
    keep_best: bool = True,
) -> Images:
    """Each query's best image over some restarts; a query that is done skips the remaining ones.

    Args:
        objectives: one per restart; their scores must be comparable.
        steps: gradient steps per restart.
        step_rule: makes the step rule of a restart from the images that it starts at.
        random_start: start from noise, new for each restart, instead of the clean images.
        keep_best: of each restart take the best iterate instead of the last.
    """

    def run(start: Images, objective: Objective, rows: Index) -> tuple[Images, Scores]:
        return iterate(
            start, queries.images, objective, threat, steps=steps, step_rule=step_rule(start), rows=rows,
            keep_best=keep_best,
        )  # fmt: skip

    return best_of(queries, objectives, threat, run, random_start=random_start)


def steepest_search(
    queries: Queries,
    objectives: Sequence[Objective],
    threat: Threat,
    *,
    steps: int,
    step_ratio: float,
    random_start: bool = True,
    walk: Walk = "cosine",
) -> Images:
    """`search` by steps of steepest descent of `step_ratio` eps in the threat's norm.

    Args:
        walk: cosine, steps fall to zero along a cosine and each restart's best iterate counts; or official, steps of
            one size and the last iterate, as the released code of DHTA's, THA's and SAAT's attacks has it.
    """
    official = walk == "official"
    rule = steepest_steps(threat, (constant if official else cosine)(threat.eps * step_ratio))
    return search(
        queries, objectives, threat, steps=steps, step_rule=lambda start: rule, random_start=random_start,
        keep_best=not official,
    )  # fmt: skip


def auto_pgd_search(queries: Queries, objectives: Sequence[Objective], threat: Threat, *, steps: int) -> Images:
    """Each query's best image over some restarts of AutoPGD from noise.

    Args:
        objectives: one per restart; their scores must be comparable.
        steps: gradient steps per restart.
    """

    def run(start: Images, objective: Objective, rows: Index) -> tuple[Images, Scores]:
        return auto_pgd(start, queries.images, objective, threat, steps=steps, rows=rows)

    return best_of(queries, objectives, threat, run)


def best_of(
    queries: Queries,
    objectives: Sequence[Objective],
    threat: Threat,
    run: Callable[[Images, Objective, Index], tuple[Images, Scores]],
    *,
    random_start: bool = True,
) -> Images:
    """Each query's best image over some restarts, as `search` finds it.

    Args:
        run: runs one restart from its start images, objective and the rows that take part; returns images and scores.
    """
    clean = queries.images
    best, scores = clean, torch.full((len(clean),), torch.inf, device=clean.device, dtype=clean.dtype)
    for number, objective in enumerate(objectives):
        rows = (scores > -torch.inf).nonzero().flatten()
        start = noisy_start(queries, threat, number) if random_start else clean
        best, scores = better(best, scores, *run(start, objective, rows))
    return best
