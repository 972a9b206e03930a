"""Gradient search on average precision itself, in the smooth form of He et al. (CVPR 2018); ours."""

import torch

from hashbench.autopgd import auto_pgd
from hashbench.chase import HALF, guided, plain
from hashbench.codes import draw_rows, encode, mainstay_code, shared_labels
from hashbench.data import Queries, Victim
from hashbench.model import binarize
from hashbench.objectives import agreement
from hashbench.parameters import Count, Positive
from hashbench.perturb import Outcome
from hashbench.protocols import Craft
from hashbench.registry import attack
from hashbench.soft_ap import soft_average_precision
from hashbench.threat import Threat
from hashbench.types import Images, Index


@attack(
    "soft-ap", paper="ours, on the objective of He et al., CVPR 2018", presets={"quick": {"approach": 2, "steps": 3}}
)
def soft_ap(
    victim: Victim,
    threat: Threat,
    *,
    approach: Count = 20,
    steps: Count = 60,
    sample: Count = 250,
    half_width: Positive = 4.0,
) -> Craft:
    """Lower each query's smooth average precision over a sample of the database.

    At an average precision of 1 its gradient is zero, so that the search first leaves the weighted guide code
    by AutoPGD on the mean product and goes on from where that ends.

    Args:
        approach: gradients of the mean product.
        steps: gradients of the smooth average precision.
        sample: database codes that are ranked, the same for all queries.
        half_width: of its triangular bins over Hamming distances, in bits.
    """
    memory = binarize(encode(victim.model, victim.train))
    rows = draw_rows(len(victim.gallery.codes), sample, memory.device)
    codes, labels = victim.gallery.codes[rows], victim.gallery.labels[rows]

    def craft(queries: Queries) -> Images:
        clean, relevant = queries.images, shared_labels(queries.labels, labels)
        guide = mainstay_code(memory, victim.train.labels, queries.labels)
        away = guided(victim.model, guide, -guide, loss=agreement, score=agreement, alpha=plain, margin=HALF)

        def worse(images: Images, places: Index, progress: float) -> Outcome:
            found = soft_average_precision(victim.model(images), codes, relevant[places], half_width)
            return Outcome(found, found.detach(), torch.zeros_like(found, dtype=torch.bool))

        start = threat.project(clean + threat.eps * queries.random(), clean)
        middle, _ = auto_pgd(start, clean, away, threat, steps=approach)
        found, _ = auto_pgd(middle, clean, worse, threat, steps=steps)
        return found

    return craft
