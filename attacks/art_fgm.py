"""ART's fast gradient method (Goodfellow et al., ICLR 2015), away from the center code."""

from hashbench.models.codes import center_code, encode
from hashbench.models.data import Queries, Victim
from hashbench.models.model import binarize
from hashbench.registry.decorators import attack
from hashbench.registry.protocols import Craft
from hashbench.threat import Threat
from hashbench.types import Images


@attack("art-fgm", threats=("linf", "l2"), paper="Goodfellow et al., ICLR 2015, by ART")
def art_fgm(victim: Victim, threat: Threat) -> Craft:
    """Take one gradient step of size eps away from the center code, by ART."""
    from hashbench.crafting import art_bridge  # slow to import

    memory = binarize(encode(victim.model, victim.train))

    def craft(queries: Queries) -> Images:
        guide = center_code(memory, victim.train.labels, queries.labels)
        host = art_bridge.HashEstimator(victim.model, tuple(queries.images.shape[1:]))
        method = art_bridge.FastGradientMethod(host, art_bridge.order(threat), art_bridge.budget(threat))
        return art_bridge.together(queries, threat, method, guide)

    return craft
