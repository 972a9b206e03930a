"""No attack: the clean column of every table."""

from hashbench.models.data import Queries, Victim
from hashbench.registry.decorators import attack
from hashbench.registry.protocols import Craft
from hashbench.threat import Threat
from hashbench.types import Images


@attack("none", threats=("linf", "l2", "patch"), access="none")
def none(victim: Victim, threat: Threat) -> Craft:
    """Return the queries unchanged."""

    def craft(queries: Queries) -> Images:
        return queries.images

    return craft
