"""ART's fast gradient method (Goodfellow et al., ICLR 2015), away from the center code."""

from hashbench.models.codes import center_code, encode
from hashbench.models.data import Queries, Victim
from hashbench.models.model import binarize
from hashbench.registry.decorators import attack
from hashbench.registry.protocols import Craft
from hashbench.threat import Threat
from hashbench.types import Images


@attack("art-fgm", paper="Goodfellow et al., ICLR 2015, by ART")
def art_fgm(victim: Victim, threat: Threat) -> Craft:
    """Take one signed gradient step of size eps away from the center code, by ART."""
    from hashbench.crafting import art_bridge  # slow to import

    memory = binarize(encode(victim.model, victim.train))

    def craft(queries: Queries) -> Images:
        guide = center_code(memory, victim.train.labels, queries.labels)
        host = art_bridge.HashEstimator(victim.model, tuple(queries.images.shape[1:]))
        return art_bridge.together(
            queries, threat, art_bridge.FastGradientMethod(host, eps=art_bridge.budget(threat)), guide
        )

    return craft
