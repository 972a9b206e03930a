"""DHTA: deep hashing targeted attack (Bai et al., ECCV 2020)."""

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
    "dhta",
    goal="targeted",
    paper="Bai et al., ECCV 2020",
    presets={"paper": {"steps": 2000}, "quick": {"steps": 5}},
)
def dhta(
    victim: Victim,
    threat: Threat,
    *,
    anchors: Count = 9,
    steps: Count = 50,
    step_ratio: Share = 0.5,
    anneal: bool = True,
) -> Craft:
    """Drive each query's code to the majority code of database items with the target labels.

    The anchor is found by component voting over items drawn without replacement. Starts from the clean
    image. The paper clamps the change of normalised pixels, about 1.85/255; here the threat's budget
    holds for pixels, and steps are signed, as in the later re-implementations.

    Args:
        anchors: database items that vote (9 in the paper).
        steps: gradients a query.
        step_ratio: first step divided by eps; it falls to zero along a cosine.
        anneal: scale the logits inside the tanh from 0.1 to 1 over the way.
    """
    rule = sign_steps(cosine(threat.eps * step_ratio))

    def craft(queries: Queries) -> Images:
        draws = queries.draw((len(victim.gallery.codes),))
        anchor = anchor_code(victim.gallery, queries.wanted, draws, anchors)
        guidance = guided(
            victim.model, anchor, anchor, loss=disagreement, score=disagreement, alpha=annealed if anneal else plain
        )
        return search(queries, [guidance], threat, steps=steps, move=lambda start: rule, random_start=False)

    return craft
