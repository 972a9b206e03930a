"""No attack: the clean column of every table."""

from hashbench.data import Queries, Victim
from hashbench.protocols import Craft
from hashbench.registry import attack
from hashbench.threat import Threat
from hashbench.types import Images


@attack("none", access="none")
def none(victim: Victim, threat: Threat) -> Craft:
    """The queries as they are."""

    def craft(queries: Queries) -> Images:
        return queries.images

    return craft
