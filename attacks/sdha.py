"""SDHA: surrogate dimension-wise Hamming attack (Lu et al., ICMR 2021)."""

import torch

from hashbench.chase import annealed, search
from hashbench.codes import encode, encode_batch
from hashbench.data import Queries, Victim
from hashbench.model import binarize
from hashbench.moves import Move, adam_steps
from hashbench.objectives import relevant_rows, surrogate_distance
from hashbench.parameters import Count, NonNegative, Positive
from hashbench.perturb import Outcome
from hashbench.protocols import Craft
from hashbench.registry import attack
from hashbench.threat import Threat
from hashbench.types import Codes, Images, Index, Scores

SHARPNESS, POWER = 5.0, -0.5


@attack("sdha", paper="Lu et al., ICMR 2021", presets={"paper": {"steps": 1500}, "quick": {"steps": 5}})
def sdha(
    victim: Victim, threat: Threat, *, steps: Count = 100, step_ratio: Positive = 0.32, weight: NonNegative = 25.0
) -> Craft:
    """Drive each query's code away from all relevant training codes, the near ones most.

    Minimises the squared change of the image minus `weight` / bits times the weighted surrogate
    distance, by Adam with an annealed tanh from the clean image, as SAAT implements it. A query without
    relevant training image is driven away from its own code.

    Args:
        steps: gradients a query.
        step_ratio: Adam's learning rate divided by eps (0.01 at 8/255 in SAAT).
        weight: of the distance.
    """
    memory = binarize(encode(victim.model, victim.train))

    def craft(queries: Queries) -> Images:
        clean = queries.images
        own = binarize(encode_batch(victim.model, clean))
        relevant = relevant_rows(queries.labels, victim.train.labels)
        lonely = relevant.sum(1) == 0

        def value(logits: Codes, rows: Index, offset: float) -> Scores:
            codes = torch.tanh(logits)
            some = relevant[rows] + lonely[rows, None].to(codes)
            distance = surrogate_distance(codes, memory, some, SHARPNESS, POWER, offset)
            itself = torch.eye(len(rows)).to(codes)
            alone = surrogate_distance(codes, own[rows], itself, SHARPNESS, POWER, offset)
            return -torch.where(lonely[rows], alone, distance) * weight / codes.shape[1]

        def guidance(images: Images, rows: Index, progress: float) -> Outcome:
            logits = victim.model.logits(images)
            changed = ((images - clean[rows]) ** 2).flatten(1).mean(1)
            loss = changed + value(annealed(progress) * logits, rows, 1e-8)
            score = (changed + value(logits.detach(), rows, 1.0)).detach()
            return Outcome(loss, score, torch.zeros_like(lonely[rows]))

        def rule(start: Images) -> Move:
            return adam_steps(step_ratio * threat.eps, start)

        return search(queries, [guidance], threat, steps=steps, move=rule, random_start=False)

    return craft
