"""PGD away from the query's own code: needs neither labels nor other images (Madry et al., ICLR 2018)."""

from hashbench.crafting.objectives import agreement
from hashbench.crafting.search import alternating, guided, steepest_search
from hashbench.models.codes import encode_batch
from hashbench.models.data import Queries, Victim
from hashbench.models.model import binarize
from hashbench.registry.decorators import attack
from hashbench.registry.parameters import Count, Share
from hashbench.registry.protocols import Craft
from hashbench.threat import Threat
from hashbench.types import Images


@attack(
    "pgd-own",
    threats=("linf", "l2"),
    paper="Madry et al., ICLR 2018, on the query's own code",
    presets={"quick": {"steps": 5}},
)
def pgd_own(
    victim: Victim, threat: Threat, *, steps: Count = 50, restarts: Count = 2, step_ratio: Share = 0.5
) -> Craft:
    """Drive each query's code away from its clean code by PGD, without labels.

    Minimises the mean product of the relaxed code and the clean binary code. The start is random: at the clean image
    itself a squared distance to the query's own code would have no gradient.

    Args:
        steps: gradient steps per restart.
        restarts: random starts, alternating between the annealed and the plain tanh.
        step_ratio: first step divided by eps, in [0, 1]; it falls to zero along a cosine.
    """

    def craft(queries: Queries) -> Images:
        own = binarize(encode_batch(victim.model, queries.images))
        objectives = [
            guided(victim.model, own, -own, loss=agreement, score=agreement, alpha=alpha)
            for alpha in alternating(restarts)
        ]
        return steepest_search(queries, objectives, threat, steps=steps, step_ratio=step_ratio)

    return craft
