"""Gradient search on average precision itself, in the smooth form of He et al. (CVPR 2018); ours."""

from hashbench.crafting.autopgd import auto_pgd
from hashbench.crafting.objectives import agreement
from hashbench.crafting.precision_search import smooth_objective
from hashbench.crafting.search import HALF, guided, noisy_start, plain
from hashbench.models.codes import encode, mainstay_code, sample_of
from hashbench.models.data import Queries, Victim
from hashbench.models.model import binarize
from hashbench.registry.decorators import attack
from hashbench.registry.parameters import Count, Positive
from hashbench.registry.protocols import Craft
from hashbench.threat import Threat
from hashbench.types import Images


@attack(
    "soft-ap",
    threats=("linf", "l2"),
    paper="ours, on the objective of He et al., CVPR 2018",
    presets={"quick": {"approach": 2, "steps": 3}},
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

    At an average precision of 1 the gradient is zero, so the search first moves away from the weighted guide code by
    AutoPGD on the mean product and continues from the image that this finds.

    Args:
        approach: gradient steps on the mean product.
        steps: gradient steps on the smooth average precision.
        sample: how many database codes are ranked, the same ones for all queries.
        half_width: half the width of the triangular bins over Hamming distances, in bits.
    """
    memory = binarize(encode(victim.model, victim.train))
    ranked = sample_of(victim.gallery, sample)

    def craft(queries: Queries) -> Images:
        clean = queries.images
        guide = mainstay_code(memory, victim.train.labels, queries.labels)
        away = guided(victim.model, guide, -guide, loss=agreement, score=agreement, alpha=plain, margin=HALF)
        worse = smooth_objective(victim.model, ranked, queries.labels, half_width)
        start = noisy_start(queries, threat)
        middle, _ = auto_pgd(start, clean, away, threat, steps=approach)
        found, _ = auto_pgd(middle, clean, worse, threat, steps=steps)
        return found

    return craft
