"""The guided attack of SAAT (Yuan et al., TIFS 2023) and PgA (Wang et al., arXiv 2303.12658)."""

from hashbench.crafting.search import Walk, alternating, masked, steepest_search
from hashbench.models.codes import encode, mainstay_code
from hashbench.models.data import Queries, Victim
from hashbench.models.model import binarize
from hashbench.registry.decorators import attack
from hashbench.registry.parameters import Count, Share
from hashbench.registry.protocols import Craft
from hashbench.threat import Threat
from hashbench.types import Images


@attack(
    "pharos",
    threats=("linf", "l2"),
    paper="Yuan et al., TIFS 2023; Wang et al., arXiv 2303.12658",
    presets={"paper": {"steps": 100, "restarts": 1}, "quick": {"steps": 5}},
)
def pharos(
    victim: Victim,
    threat: Threat,
    *,
    steps: Count = 50,
    restarts: Count = 3,
    step_ratio: Share = 0.5,
    walk: Walk = "cosine",
) -> Craft:
    """Drive each query's code away from its weighted guide code, bit by bit.

    The guide code weights relevant training codes by the similarity of their labels. The masked quadratic objective
    spends the gradient on bits that still agree with it and ignores those that have moved far enough.

    Args:
        steps: gradient steps per restart.
        restarts: random starts, alternating between the annealed and the plain tanh.
        step_ratio: first step divided by eps; it falls to zero along a cosine.
        walk: cosine, or official: steps of one size and the last iterate, as in the released code.
    """
    memory = binarize(encode(victim.model, victim.train))

    def craft(queries: Queries) -> Images:
        guide = mainstay_code(memory, victim.train.labels, queries.labels)
        objectives = [masked(victim.model, guide, alpha=alpha) for alpha in alternating(restarts)]
        return steepest_search(queries, objectives, threat, steps=steps, step_ratio=step_ratio, walk=walk)

    return craft
