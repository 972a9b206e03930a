"""AutoPGD (Croce and Hein, ICML 2020) on the masked objective of SAAT (Yuan et al., TIFS 2023)."""

from typing import Literal

import torch

from hashbench.autopgd import auto_pgd
from hashbench.chase import HALF, alternating, best_of, guided, plain
from hashbench.codes import encode, mainstay_code
from hashbench.data import Queries, Victim
from hashbench.model import HashModel, binarize
from hashbench.objectives import clipped_agreement, masked_agreement
from hashbench.parameters import Count
from hashbench.perturb import Guidance
from hashbench.protocols import Craft
from hashbench.registry import attack
from hashbench.threat import Threat
from hashbench.types import Images, Index, Scores


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
        walks = [
            guided(
                victim.model, guide, -guide, loss=masked_agreement, score=clipped_agreement, margin=HALF,
                alpha=alpha if size is None else plain, size=size,
            )
            for alpha in alternating(restarts)
        ]  # fmt: skip

        def go(start: Images, guidance: Guidance, rows: Index) -> tuple[Images, Scores]:
            return auto_pgd(start, queries.images, guidance, threat, steps=steps, rows=rows)

        return best_of(queries, walks, threat, go)

    return craft


def mean_size(model: HashModel, images: Images) -> Scores:
    """The mean absolute logit of each image, or 1 where all are 0."""
    with torch.no_grad():
        size = model.logits(images).abs().mean(1)
    return size.masked_fill(size == 0, 1)
