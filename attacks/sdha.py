"""SDHA: surrogate dimension-wise Hamming attack (Lu et al., ICMR 2021)."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from hashbench.crafting.gradient_loop import Objective, ObjectiveValue
from hashbench.crafting.objectives import surrogate_distance, weighted_distance
from hashbench.crafting.search import alternating, search
from hashbench.crafting.step_rules import StepRule, adam_steps, cosine, steepest_steps
from hashbench.models.codes import encode, encode_batch, shared_labels
from hashbench.models.data import Queries, Victim
from hashbench.models.model import binarize
from hashbench.registry.decorators import attack
from hashbench.registry.parameters import Count, NonNegative, Share, Value
from hashbench.registry.protocols import Craft
from hashbench.threat import Threat
from hashbench.types import BinaryCodes, Codes, Images, Index, Scores

TIE = 0.01  # weight of the surrogate where iterates are ranked; it decides between equal codes
Distance = Callable[[Codes, BinaryCodes, Tensor], Scores]


PAPER: dict[str, Value] = {"steps": 1500, "restarts": 1, "optimiser": "adam", "step_ratio": 0.32}


@attack("sdha", threats=("linf", "l2"), paper="Lu et al., ICMR 2021", presets={"paper": PAPER, "quick": {"steps": 5}})
def sdha(
    victim: Victim,
    threat: Threat,
    *,
    steps: Count = 50,
    restarts: Count = 2,
    optimiser: Literal["sign", "adam"] = "sign",
    step_ratio: Share = 0.5,
    weight: NonNegative = 25.0,
    ranking: Literal["distance", "surrogate"] = "distance",
) -> Craft:
    """Drive each query's code away from all relevant training codes, the nearest most.

    Minimises the squared change of the image minus `weight` / bits times the weighted surrogate distance. Iterates
    can be ranked by that objective or by the Hamming distance that it stands for, since the surrogate is almost as
    large for bits at zero as for flipped ones. SAAT's implementation, preset `paper`, uses Adam from the clean image;
    signed steps need far fewer iterations. A query without a relevant training image is driven away from its own
    code.

    Args:
        steps: gradient steps per restart.
        restarts: alternate between annealed and plain tanh; one starts from the clean image, several from noise.
        optimiser: signed steps along a cosine, or Adam.
        step_ratio: first step, or Adam's learning rate (0.01 at 8/255 in SAAT), divided by eps, or for Adam
            under l2 by the eps of each pixel.
        weight: weight of the distance.
        ranking: what iterates are ranked by: the Hamming distance or its surrogate.
    """
    memory = binarize(encode(victim.model, victim.train))

    def rule(start: Images) -> StepRule:
        if optimiser == "adam":
            return adam_steps(step_ratio * threat.even(start), start)
        return steepest_steps(threat, cosine(step_ratio * threat.eps))

    def craft(queries: Queries) -> Images:
        away = Away(victim, memory, queries, weight, hard_distance if ranking == "distance" else surrogate_distance)
        objectives = [away.objective(alpha) for alpha in alternating(restarts)]
        return search(queries, objectives, threat, steps=steps, step_rule=rule, random_start=restarts > 1)

    return craft


class Away:
    """The objective of a batch: distance to the relevant training codes, against the change of the image.

    Args:
        memory: binary codes of the training images [n, bits].
        weight: weight of the distance.
        ranked: the distance that iterates are ranked by.
    """

    def __init__(self, victim: Victim, memory: BinaryCodes, queries: Queries, weight: float, ranked: Distance) -> None:
        self.model, self.memory, self.clean = victim.model, memory, queries.images
        self.weight, self.ranked = weight, ranked
        self.own = binarize(encode_batch(victim.model, queries.images))
        self.relevant = shared_labels(queries.labels, victim.train.labels)
        self.lonely = self.relevant.sum(1) == 0

    def gain(self, distance: Distance, codes: Codes, rows: Index) -> Scores:
        """The weighted distance of relaxed codes [rows, bits]; to their own codes where nothing is relevant."""
        some = self.relevant[rows] + self.lonely[rows, None].to(codes)
        alone = distance(codes, self.own[rows], torch.eye(len(rows)).to(codes))
        away = torch.where(self.lonely[rows], alone, distance(codes, self.memory, some))
        return away * self.weight / codes.shape[1]

    def objective(self, alpha: Callable[[float], float]) -> Objective:
        """The objective of one restart, through tanh(alpha(progress) * logits)."""

        def evaluate(images: Images, rows: Index, progress: float) -> ObjectiveValue:
            logits = self.model.logits(images)
            changed = ((images - self.clean[rows]) ** 2).flatten(1).mean(1)
            loss = changed - self.gain(surrogate_distance, torch.tanh(alpha(progress) * logits), rows)
            score = changed.detach() - self.gain(self.ranked, torch.tanh(logits).detach(), rows)
            return ObjectiveValue(loss, score, torch.zeros_like(self.lonely[rows]))

        return evaluate


def hard_distance(codes: Codes, memory: BinaryCodes, relevant: Tensor) -> Scores:
    """Weighted Hamming distance to the relevant codes, plus a small share of the unweighted surrogate."""
    return weighted_distance(codes, memory, relevant) + TIE * surrogate_distance(codes, memory, relevant, power=0.0)
