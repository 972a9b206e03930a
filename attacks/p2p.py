"""P2P: the point-to-point targeted attack, DHTA's baseline (Bai et al., ECCV 2020)."""

from hashbench.chase import annealed, guided, plain, search
from hashbench.codes import anchor_code
from hashbench.data import Queries, Victim
from hashbench.moves import cosine, sign_steps
from hashbench.objectives import disagreement
from hashbench.parameters import Count, Share
from hashbench.protocols import Craft
from hashbench.registry import attack
from hashbench.threat import Threat
from hashbench.types import Images


@attack(
    "p2p",
    goal="targeted",
    paper="Bai et al., ECCV 2020",
    presets={"paper": {"steps": 2000}, "quick": {"steps": 5}},
)
def p2p(victim: Victim, threat: Threat, *, steps: Count = 50, step_ratio: Share = 0.5, anneal: bool = True) -> Craft:
    """Drive each query's code to the code of one database item with the target labels.

    Starts from the clean image.

    Args:
        steps: gradients a query.
        step_ratio: first step divided by eps; it falls to zero along a cosine.
        anneal: scale the logits inside the tanh from 0.1 to 1 over the way.
    """
    rule = sign_steps(cosine(threat.eps * step_ratio))

    def craft(queries: Queries) -> Images:
        draws = queries.draw((len(victim.gallery.codes),))
        anchor = anchor_code(victim.gallery, queries.wanted, draws, members=1)
        guidance = guided(
            victim.model, anchor, anchor, loss=disagreement, score=disagreement, alpha=annealed if anneal else plain
        )
        return search(queries, [guidance], threat, steps=steps, move=lambda start: rule, random_start=False)

    return craft
