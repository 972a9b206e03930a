"""ART's projected gradient descent (Madry et al., ICLR 2018), away from the center code."""

from hashbench.models.codes import center_code, encode
from hashbench.models.data import Queries, Victim
from hashbench.models.model import binarize
from hashbench.registry.decorators import attack
from hashbench.registry.parameters import Count, Share
from hashbench.registry.protocols import Craft
from hashbench.threat import Threat
from hashbench.types import Images


@attack("art-pgd", threats=("linf", "l2"), paper="Madry et al., ICLR 2018, by ART", presets={"quick": {"steps": 3}})
def art_pgd(victim: Victim, threat: Threat, *, steps: Count = 100, step_ratio: Share = 0.125) -> Craft:
    """Take gradient steps of constant size away from the center code, by ART, from a random start.

    Args:
        steps: gradient steps per query.
        step_ratio: step size divided by eps, in [0, 1].
    """
    from hashbench.crafting import art_bridge  # slow to import

    memory = binarize(encode(victim.model, victim.train))
    size = art_bridge.budget(threat) * max(step_ratio, 1e-6)

    def craft(queries: Queries) -> Images:
        guide = center_code(memory, victim.train.labels, queries.labels)
        host = art_bridge.HashEstimator(victim.model, tuple(queries.images.shape[1:]))
        one_step = art_bridge.ProjectedGradientDescentNumpy(
            host, art_bridge.order(threat), eps=art_bridge.budget(threat), eps_step=size, max_iter=1, verbose=False
        )
        return art_bridge.stepwise(queries, threat, one_step, guide, steps)

    return craft
