"""Center-guided PGD, the attack inside CgAT (Wang et al., WWW 2023)."""

from hashbench.crafting.objectives import agreement
from hashbench.crafting.search import guided, steepest_search
from hashbench.models.codes import center_code, encode
from hashbench.models.data import Queries, Victim
from hashbench.models.model import binarize
from hashbench.registry.decorators import attack
from hashbench.registry.parameters import Count, Share
from hashbench.registry.protocols import Craft
from hashbench.threat import Threat
from hashbench.types import Images


@attack(
    "pgd-hamming",
    threats=("linf", "l2"),
    paper="Wang et al., WWW 2023, center-guided PGD",
    presets={"quick": {"steps": 5}},
)
def pgd_hamming(
    victim: Victim, threat: Threat, *, steps: Count = 20, restarts: Count = 5, step_ratio: Share = 1.0
) -> Craft:
    """Drive each query's code away from the center code of its relevant training images by PGD.

    Minimises the mean product of the relaxed code and the center code by signed gradient steps from random starts.
    The step falls from `step_ratio` times eps to zero along a cosine. Each query keeps the best of all iterates of
    all restarts. The defaults were chosen on validation queries: no weaker than 100 constant steps of eps/8 on any
    model tried, and up to 8 mAP points stronger.

    Args:
        steps: gradient steps per restart.
        restarts: random starts.
        step_ratio: first step divided by eps, in [0, 1].
    """
    memory = binarize(encode(victim.model, victim.train))

    def craft(queries: Queries) -> Images:
        center = center_code(memory, victim.train.labels, queries.labels)
        objective = guided(victim.model, center, -center, loss=agreement, score=agreement)
        return steepest_search(queries, [objective] * restarts, threat, steps=steps, step_ratio=step_ratio)

    return craft
