"""HAG: Hamming-space adversarial generation (Yang et al., IEEE Trans. Cybernetics 2020)."""

from collections.abc import Callable, Sequence
from typing import Literal

import torch

from hashbench.crafting.gallery_ap import NEAR_FLOOR, exact_precision, lowest_precision
from hashbench.crafting.gradient_loop import Objective, ObjectiveValue
from hashbench.crafting.objectives import agreement, masked_departure
from hashbench.crafting.search import HALF, alternating, reached, search
from hashbench.crafting.step_rules import StepRule, cosine, momentum_steps, steepest_steps
from hashbench.models.codes import encode_batch
from hashbench.models.data import Queries, Victim
from hashbench.registry.decorators import attack
from hashbench.registry.parameters import Count, NonNegative, Positive, Share, Value
from hashbench.registry.protocols import Craft
from hashbench.threat import Threat
from hashbench.types import Images, Index

PAPER: dict[str, Value] = {"steps": 2000, "restarts": 1, "optimiser": "momentum"}


@attack("hag", threats=("linf", "l2"), paper="Yang et al., TCYB 2020", presets={"paper": PAPER, "quick": {"steps": 5}})
def hag(
    victim: Victim,
    threat: Threat,
    *,
    steps: Count = 50,
    restarts: Count = 2,
    optimiser: Literal["sign", "momentum"] = "sign",
    step_ratio: Share = 0.5,
    learning_rate: Positive = 100 / 128,
    weight: NonNegative = 1.0,
) -> Craft:
    """Push each query's code away from its clean code, bit by bit, without labels.

    The masked objective ignores bits that have already flipped; its second term keeps the others balanced. A query
    stops early when all its bits have flipped, so that no gradient is left, or when its AP is within 0.01 of the
    lowest possible: the labels needed for this only stop a search, they never steer it. Follows SAAT's
    re-implementation, whose momentum steps of 100 times a gradient averaged over 128 images, from the clean image,
    are the preset `paper`; signed steps need far fewer iterations.

    Args:
        steps: gradient steps per restart.
        restarts: alternate between annealed and plain tanh; one starts from the clean image, several from noise.
        optimiser: signed steps along a cosine, or SGD with momentum 0.9 on the raw gradient.
        step_ratio: first signed step divided by eps.
        learning_rate: learning rate of the momentum steps, for the gradient of one query's own objective.
        weight: weight of the second term.
    """

    def rule(start: Images) -> StepRule:
        if optimiser == "momentum":
            return momentum_steps(learning_rate, 0.9, start)
        return steepest_steps(threat, cosine(threat.eps * step_ratio))

    def craft(queries: Queries) -> Images:
        objectives = departures(victim, queries, weight, alternating(restarts))
        return search(queries, objectives, threat, steps=steps, step_rule=rule, random_start=restarts > 1)

    return craft


def departures(
    victim: Victim, queries: Queries, weight: float, alphas: Sequence[Callable[[float], float]]
) -> list[Objective]:
    """HAG's objective for each restart, through tanh(alpha(progress) * logits).

    Args:
        weight: weight of the second term.
    """
    own = encode_batch(victim.model, queries.images)
    lowest = lowest_precision(victim, queries.labels)

    def objective(alpha: Callable[[float], float]) -> Objective:
        def evaluate(images: Images, rows: Index, progress: float) -> ObjectiveValue:
            logits = victim.model.logits(images)
            codes = torch.tanh(logits).detach()
            loss = masked_departure(torch.tanh(alpha(progress) * logits), own[rows], weight)
            found = exact_precision(victim, codes, queries.labels[rows])
            done = (found <= lowest[rows] + NEAR_FLOOR) | reached(codes, -own[rows].sign(), HALF)
            return ObjectiveValue(loss, agreement(codes, own[rows]), done)

        return evaluate

    return [objective(alpha) for alpha in alphas]
