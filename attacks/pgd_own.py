"""PGD away from the query's own code: needs neither labels nor other images (Madry et al., ICLR 2018)."""

from hashbench.chase import alternating, guided, search
from hashbench.codes import encode_batch
from hashbench.data import Queries, Victim
from hashbench.model import binarize
from hashbench.moves import cosine, sign_steps
from hashbench.objectives import agreement
from hashbench.parameters import Count, Share
from hashbench.protocols import Craft
from hashbench.registry import attack
from hashbench.threat import Threat
from hashbench.types import Images


@attack("pgd-own", paper="Madry et al., ICLR 2018, on the query's own code", presets={"quick": {"steps": 5}})
def pgd_own(
    victim: Victim, threat: Threat, *, steps: Count = 50, restarts: Count = 2, step_ratio: Share = 0.5
) -> Craft:
    """Drive each query's code away from what it is by PGD, without labels.

    Minimises the mean product of the relaxed code and the clean binary code. The start is random: at
    the clean image itself a squared distance to the own code would have no gradient.

    Args:
        steps: gradients a restart.
        restarts: random starts, with the tanh annealed and plain in turn.
        step_ratio: first step divided by eps, in [0, 1]; it falls to zero along a cosine.
    """
    rule = sign_steps(cosine(threat.eps * step_ratio))

    def craft(queries: Queries) -> Images:
        own = binarize(encode_batch(victim.model, queries.images))
        walks = [
            guided(victim.model, own, -own, loss=agreement, score=agreement, alpha=alpha)
            for alpha in alternating(restarts)
        ]
        return search(queries, walks, threat, steps=steps, move=lambda start: rule)

    return craft
