"""ART's momentum iterative method (Dong et al., CVPR 2018), away from the center code."""

from hashbench.models.codes import center_code, encode
from hashbench.models.data import Queries, Victim
from hashbench.models.model import binarize
from hashbench.registry.decorators import attack
from hashbench.registry.parameters import Count, NonNegative, Share
from hashbench.registry.protocols import Craft
from hashbench.threat import Threat
from hashbench.types import Images


@attack("art-mim", paper="Dong et al., CVPR 2018, by ART", presets={"quick": {"steps": 3}})
def art_mim(
    victim: Victim, threat: Threat, *, steps: Count = 100, step_ratio: Share = 0.125, decay: NonNegative = 1.0
) -> Craft:
    """Take signed steps along accumulated gradients away from the center code, by ART, from the clean image.

    Args:
        steps: gradient steps per query.
        step_ratio: step size divided by eps, in [0, 1].
        decay: decay factor of the accumulated gradient.
    """
    from hashbench.crafting import art_bridge  # slow to import

    memory = binarize(encode(victim.model, victim.train))
    size = art_bridge.budget(threat) * max(step_ratio, 1e-6)

    def craft(queries: Queries) -> Images:
        guide = center_code(memory, victim.train.labels, queries.labels)
        host = art_bridge.HashEstimator(victim.model, tuple(queries.images.shape[1:]))
        method = art_bridge.MomentumIterativeMethod(
            host, eps=art_bridge.budget(threat), eps_step=size, max_iter=steps, decay=decay, verbose=False
        )
        return art_bridge.together(queries, threat, method, guide)

    return craft
