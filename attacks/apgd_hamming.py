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
    """Drive each query's code away from its weighted guide code with steps that halve themselves.

    The first step is 2 eps; it halves when it no longer pays, and the search goes on from its best
    point. The masked quadratic objective drops bits that are done.

    Args:
        steps: gradients a restart.
        restarts: random starts, with the tanh annealed and plain in turn.
        logits: the model's own, or divided by their mean size on the clean query, so that the steepest tanh has
            a gradient; the tanh is plain then.
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
