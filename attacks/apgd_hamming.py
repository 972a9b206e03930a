"""AutoPGD (Croce and Hein, ICML 2020) on the masked objective of SAAT (Yuan et al., TIFS 2023)."""

from typing import Literal

import torch

from hashbench.crafting.search import alternating, auto_pgd_search, masked, plain
from hashbench.models.codes import encode, mainstay_code
from hashbench.models.data import Queries, Victim
from hashbench.models.model import HashModel, binarize
from hashbench.registry.decorators import attack
from hashbench.registry.parameters import Count
from hashbench.registry.protocols import Craft
from hashbench.threat import Threat
from hashbench.types import Images, Scores


@attack(
    "apgd-hamming",
    threats=("linf", "l2"),
    paper="Croce and Hein, ICML 2020, on the objective of Yuan et al., TIFS 2023",
    presets={"quick": {"steps": 10}},
)
def apgd_hamming(
    victim: Victim,
    threat: Threat,
    *,
    steps: Count = 50,
    restarts: Count = 2,
    logits: Literal["own", "unit"] = "own",
) -> Craft:
    """Drive each query's code away from its weighted guide code with a step size that halves itself.

    The first step is 2 eps; it is halved when it no longer pays off, and the search resumes from its best point. The
    masked quadratic objective ignores bits that have moved far enough.

    Args:
        steps: gradient steps per restart.
        restarts: random starts, alternating between the annealed and the plain tanh.
        logits: the model's own, or (unit) divided by their mean size on the clean query, so that even the steepest
            tanh has a gradient; the tanh is then not annealed.
    """
    memory = binarize(encode(victim.model, victim.train))

    def craft(queries: Queries) -> Images:
        guide = mainstay_code(memory, victim.train.labels, queries.labels)
        size = None if logits == "own" else mean_size(victim.model, queries.images)
        objectives = [
            masked(victim.model, guide, alpha=alpha if size is None else plain, size=size)
            for alpha in alternating(restarts)
        ]
        return auto_pgd_search(queries, objectives, threat, steps=steps)

    return craft


def mean_size(model: HashModel, images: Images) -> Scores:
    """The mean absolute logit of each image, or 1 where all are 0."""
    with torch.no_grad():
        size = model.logits(images).abs().mean(1)
    return size.masked_fill(size == 0, 1)
