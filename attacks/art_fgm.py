"""ART's fast gradient method (Goodfellow et al., ICLR 2015), away from the center code."""

from hashbench.codes import center_code, encode
from hashbench.data import Queries, Victim
from hashbench.model import binarize
from hashbench.protocols import Craft
from hashbench.registry import attack
from hashbench.threat import Threat
from hashbench.types import Images


@attack("art-fgm", paper="Goodfellow et al., ICLR 2015, by ART")
def art_fgm(victim: Victim, threat: Threat) -> Craft:
    """One signed gradient step of size eps away from the center code, made by ART."""
    from hashbench import art  # slow to import

    memory = binarize(encode(victim.model, victim.train))

    def craft(queries: Queries) -> Images:
        guide = center_code(memory, victim.train.labels, queries.labels)
        host = art.HashEstimator(victim.model, tuple(queries.images.shape[1:]))
        return art.together(queries, threat, art.FastGradientMethod(host, eps=art.budget(threat)), guide)

    return craft
