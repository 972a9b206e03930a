"""The targeted form of the guided attack of SAAT (Yuan et al., TIFS 2023)."""

from hashbench.crafting.objectives import clipped_disagreement, masked_disagreement
from hashbench.crafting.search import HALF, alternating, guided, steepest_search
from hashbench.models.codes import encode, mainstay_code
from hashbench.models.data import Queries, Victim
from hashbench.models.model import binarize
from hashbench.registry.decorators import attack
from hashbench.registry.parameters import Count, Share
from hashbench.registry.protocols import Craft
from hashbench.threat import Threat
from hashbench.types import Images


@attack(
    "pharos-targeted",
    threats=("linf", "l2"),
    goal="targeted",
    paper="Yuan et al., TIFS 2023",
    presets={"paper": {"steps": 100}, "quick": {"steps": 5}},
)
def pharos_targeted(
    victim: Victim,
    threat: Threat,
    *,
    steps: Count = 50,
    restarts: Count = 1,
    step_ratio: Share = 0.5,
) -> Craft:
    """Drive each query's code to the weighted guide code of its target labels, bit by bit.

    The guide code is made from the training images; the masked quadratic objective ignores bits that have reached it.

    Args:
        steps: gradient steps per restart.
        restarts: random starts, alternating between the annealed and the plain tanh.
        step_ratio: first step divided by eps; it falls to zero along a cosine.
    """
    memory = binarize(encode(victim.model, victim.train))

    def craft(queries: Queries) -> Images:
        guide = mainstay_code(memory, victim.train.labels, queries.wanted)
        objectives = [
            guided(
                victim.model,
                guide,
                guide,
                loss=masked_disagreement,
                score=clipped_disagreement,
                alpha=alpha,
                margin=HALF,
            )
            for alpha in alternating(restarts)
        ]
        return steepest_search(queries, objectives, threat, steps=steps, step_ratio=step_ratio)

    return craft
