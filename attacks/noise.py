"""Random noise: what any attack must beat."""

from hashbench.crafting.search import noisy_start
from hashbench.models.data import Queries, Victim
from hashbench.registry.decorators import attack
from hashbench.registry.protocols import Craft
from hashbench.threat import Threat
from hashbench.types import Images


@attack("noise", threats=("linf", "l2", "patch"), access="none")
def noise(victim: Victim, threat: Threat) -> Craft:
    """Shift each pixel by an independent uniform draw from [-eps, eps]; for l2, in a random direction by eps.

    Under a patch, the square stays where such a draw moves pixels most.
    """

    def craft(queries: Queries) -> Images:
        return noisy_start(queries, threat)

    return craft
