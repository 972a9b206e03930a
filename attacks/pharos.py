"""The guided attack of SAAT (Yuan et al., TIFS 2023) and PgA (Wang et al., arXiv 2303.12658)."""

from hashbench.chase import HALF, alternating, guided, search
from hashbench.codes import encode, mainstay_code
from hashbench.data import Queries, Victim
from hashbench.model import binarize
from hashbench.moves import cosine, sign_steps
from hashbench.objectives import clipped_agreement, masked_agreement
from hashbench.parameters import Count, Share
from hashbench.protocols import Craft
from hashbench.registry import attack
from hashbench.threat import Threat
from hashbench.types import Images


@attack(
    "pharos",
    paper="Yuan et al., TIFS 2023; Wang et al., arXiv 2303.12658",
    presets={"paper": {"steps": 100, "restarts": 1}, "quick": {"steps": 5}},
)
def pharos(
    victim: Victim,
    threat: Threat,
    *,
    steps: Count = 50,
    restarts: Count = 3,
    step_ratio: Share = 0.5,
) -> Craft:
    """Drive each query's code away from its weighted guide code, bit by bit.

    The guide code weighs relevant training codes by the likeness of their labels. The masked quadratic
    objective spends the gradient on bits that still agree with it and drops those that are done.

    Args:
        steps: gradients a restart.
        restarts: random starts, with the tanh annealed and plain in turn.
        step_ratio: first step divided by eps; it falls to zero along a cosine.
    """
    memory = binarize(encode(victim.model, victim.train))
    rule = sign_steps(cosine(threat.eps * step_ratio))

    def craft(queries: Queries) -> Images:
        guide = mainstay_code(memory, victim.train.labels, queries.labels)
        walks = [
            guided(
                victim.model, guide, -guide, loss=masked_agreement, score=clipped_agreement, alpha=alpha, margin=HALF
            )
            for alpha in alternating(restarts)
        ]
        return search(queries, walks, threat, steps=steps, move=lambda start: rule)

    return craft
