"""P2P: the point-to-point targeted attack, DHTA's baseline (Bai et al., ECCV 2020)."""

from hashbench.crafting.objectives import disagreement
from hashbench.crafting.search import annealed, guided, plain, steepest_search
from hashbench.models.codes import anchor_code
from hashbench.models.data import Queries, Victim
from hashbench.registry.decorators import attack
from hashbench.registry.parameters import Count, Share
from hashbench.registry.protocols import Craft
from hashbench.threat import Threat
from hashbench.types import Images


@attack(
    "p2p",
    threats=("linf", "l2"),
    goal="targeted",
    paper="Bai et al., ECCV 2020",
    presets={"paper": {"steps": 2000}, "quick": {"steps": 5}},
)
def p2p(victim: Victim, threat: Threat, *, steps: Count = 50, step_ratio: Share = 0.5, anneal: bool = True) -> Craft:
    """Drive each query's code to the code of one database item with the target labels.

    Starts from the clean image.

    Args:
        steps: gradient steps per query.
        step_ratio: first step divided by eps; it falls to zero along a cosine.
        anneal: scale the logits inside the tanh from 0.1 to 1 over the steps.
    """

    def craft(queries: Queries) -> Images:
        draws = queries.draw((len(victim.gallery.codes),))
        anchor = anchor_code(victim.gallery, queries.wanted, draws, members=1)
        objective = guided(
            victim.model, anchor, anchor, loss=disagreement, score=disagreement, alpha=annealed if anneal else plain
        )
        return steepest_search(queries, [objective], threat, steps=steps, step_ratio=step_ratio, random_start=False)

    return craft
