"""DHTA: deep hashing targeted attack (Bai et al., ECCV 2020)."""

from hashbench.crafting.objectives import disagreement
from hashbench.crafting.search import Walk, annealed, guided, plain, steepest_search
from hashbench.models.codes import anchor_code
from hashbench.models.data import Queries, Victim
from hashbench.registry.decorators import attack
from hashbench.registry.parameters import Count, Share
from hashbench.registry.protocols import Craft
from hashbench.threat import Threat
from hashbench.types import Images


@attack(
    "dhta",
    threats=("linf", "l2"),
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
    walk: Walk = "cosine",
) -> Craft:
    """Drive each query's code to the majority code of database items with the target labels.

    The anchor is found by component voting over items drawn without replacement. Starts from the clean image. The
    paper clamps the perturbation of normalised pixels, about 1.85/255; here the budget applies to the pixels
    themselves, and steps are signed, as in later re-implementations.

    Args:
        anchors: database items that vote (9 in the paper).
        steps: gradient steps per query.
        step_ratio: first step divided by eps; it falls to zero along a cosine.
        walk: cosine, or official: steps of one size and the last iterate, as in the released code.
        anneal: scale the logits inside the tanh from 0.1 to 1 over the steps.
    """

    def craft(queries: Queries) -> Images:
        draws = queries.draw((len(victim.gallery.codes),))
        anchor = anchor_code(victim.gallery, queries.wanted, draws, anchors)
        objective = guided(
            victim.model, anchor, anchor, loss=disagreement, score=disagreement, alpha=annealed if anneal else plain
        )
        return steepest_search(
            queries, [objective], threat, steps=steps, step_ratio=step_ratio, random_start=False, walk=walk
        )

    return craft
