"""Push every pixel away from grey, half as far again as the budget allows."""

from hashbench import Craft, Queries, Threat, Victim, attack
from hashbench.types import Images


@attack("bad-exceeds-the-budget")
def exceeds_the_budget(victim: Victim, threat: Threat) -> Craft:
    """Push every pixel away from grey, half as far again as the budget allows."""

    def craft(queries: Queries) -> Images:
        victim.model(queries.images)
        away = (queries.images - 0.5).sign()
        return (queries.images - 1.5 * threat.eps * away).clamp(0, 1)

    return craft
