"""Random noise: what any attack must beat."""

from hashbench.data import Queries, Victim
from hashbench.protocols import Craft
from hashbench.registry import attack
from hashbench.threat import Threat
from hashbench.types import Images


@attack("noise", access="none")
def noise(victim: Victim, threat: Threat) -> Craft:
    """Move each pixel by an independent uniform draw from [-eps, eps]."""

    def craft(queries: Queries) -> Images:
        return threat.project(queries.images + threat.eps * queries.random(), queries.images)

    return craft
