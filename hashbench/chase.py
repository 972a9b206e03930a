"""Gradient searches of single queries: restarts, guide codes, the alpha schedule, leaving at the goal."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from hashbench.data import Queries
from hashbench.model import HashModel
from hashbench.moves import Move
from hashbench.perturb import Guidance, Outcome, better, walk
from hashbench.threat import Threat
from hashbench.types import Codes, GuideCodes, Images, Index, Scores

CodeLoss = Callable[[Codes, GuideCodes], Scores]

# tanh(alpha * logits) by tenths of the way: DHTA's schedule, rescaled to any number of steps.
ALPHA = (0.1, 0.1, 0.1, 0.1, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
DONE = 0.995  # a relaxed bit this far is moved for good, within half a percent of any mean product
HALF = 0.5  # where the masked objectives drop a bit


def annealed(progress: float) -> float:
    """The scale of the logits inside the tanh at a point of the way in [0, 1]."""
    return ALPHA[min(int(10 * progress + 1e-9), 9)]


def plain(progress: float) -> float:
    """The model's own tanh throughout."""
    return 1.0


def alternating(restarts: int) -> list[Callable[[float], float]]:
    """Scales for some walks, annealed and plain in turn.

    Annealing gets through the saturated tanh of undefended models; on defended ones it is the weaker.
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
) -> Guidance:
    """A guidance by functions of the relaxed codes [images, bits] and one guide code a query.

    Args:
        goal: the binary codes to end with; a query that has its own leaves. 0: any value will do.
        loss: drives the images, through tanh(alpha(progress) * logits).
        score: ranks iterates, on the model's own relaxed codes.
        margin: how far a relaxed bit must be on its goal's side to have arrived.
        size: what each query's logits are divided by throughout; 1 by default.
    """

    def guidance(images: Images, rows: Index, progress: float) -> Outcome:
        logits = model.logits(images)
        logits = logits if size is None else logits / size[rows, None]
        relaxed = torch.tanh(logits)
        scale = alpha(progress)
        driven = relaxed if scale == 1 else torch.tanh(scale * logits)
        reached = arrived(relaxed.detach(), goal[rows], margin)
        return Outcome(loss(driven, guide[rows]), score(relaxed.detach(), guide[rows]), reached)

    return guidance


def arrived(codes: Codes, goal: GuideCodes, margin: float) -> Tensor:
    """Which codes agree with the goal in every bit that has one, by a margin."""
    return ((codes * goal > margin) | (goal == 0)).all(1)


def search(
    queries: Queries,
    walks: Sequence[Guidance],
    threat: Threat,
    *,
    steps: int,
    move: Callable[[Images], Move],
    random_start: bool = True,
) -> Images:
    """Each query's best image of some walks; a query that has reached its goal makes no further ones.

    Args:
        walks: the guidance of each walk; all must rank images in one unit.
        steps: gradients a walk.
        move: makes the update rule of a walk from the images that it starts at.
        random_start: start from uniform noise, new for each walk, instead of the clean images.
    """

    def go(start: Images, guidance: Guidance, rows: Index) -> tuple[Images, Scores]:
        return walk(start, queries.images, guidance, threat, steps=steps, move=move(start), rows=rows)

    return best_of(queries, walks, threat, go, random_start=random_start)


def best_of(
    queries: Queries,
    walks: Sequence[Guidance],
    threat: Threat,
    go: Callable[[Images, Guidance, Index], tuple[Images, Scores]],
    *,
    random_start: bool = True,
) -> Images:
    """Each query's best image of some walks, as `search` finds it.

    Args:
        go: makes a walk from its start, guidance and the rows that set out: images and scores.
    """
    clean = queries.images
    best, scores = clean, torch.full((len(clean),), torch.inf, device=clean.device, dtype=clean.dtype)
    for number, guidance in enumerate(walks):
        rows = (scores > -torch.inf).nonzero().flatten()
        start = threat.project(clean + threat.eps * queries.random(number), clean) if random_start else clean
        best, scores = better(best, scores, *go(start, guidance, rows))
    return best
