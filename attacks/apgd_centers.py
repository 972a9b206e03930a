"""AutoPGD (Croce and Hein, ICML 2020) towards the centers of other classes, one after the other; ours."""

import torch
from torch import Tensor

from hashbench.autopgd import auto_pgd
from hashbench.chase import best_of
from hashbench.codes import class_codes, encode, encode_batch, mainstay_code
from hashbench.data import Queries, Victim
from hashbench.model import binarize
from hashbench.objectives import agreement
from hashbench.parameters import Count
from hashbench.perturb import Guidance, Outcome
from hashbench.protocols import Craft
from hashbench.registry import attack
from hashbench.threat import Threat
from hashbench.types import Codes, GuideCodes, Images, Index, Labels, Scores


@attack(
    "apgd-centers",
    paper="ours, by the rule of Croce and Hein, ICML 2020",
    presets={"quick": {"steps": 3, "targets": 2}},
)
def apgd_centers(victim: Victim, threat: Threat, *, steps: Count = 25, targets: Count = 5) -> Craft:
    """Drive each query's code from its weighted guide code to the center codes of the nearest other classes.

    Half the mean product with the guide code minus that with the target's is minimised; of all walks the image
    is kept that agrees least with the guide code.

    Args:
        steps: gradients a target.
        targets: classes that are not the query's own, those whose center codes are nearest to its clean code.
    """
    memory = binarize(encode(victim.model, victim.train))
    centers = class_codes(memory, victim.train.labels)
    classes = victim.train.labels.any(0).nonzero().flatten()

    def craft(queries: Queries) -> Images:
        guide = mainstay_code(memory, victim.train.labels, queries.labels)
        ranked = nearest(encode_batch(victim.model, queries.images), centers, queries.labels[:, classes])

        def towards(place: int) -> Guidance:
            def guidance(images: Images, rows: Index, progress: float) -> Outcome:
                codes = victim.model(images)
                apart = agreement(codes, guide[rows])
                loss = (apart - agreement(codes, centers[ranked[rows, place]])) / 2
                return Outcome(loss, apart.detach(), torch.zeros_like(loss, dtype=torch.bool))

            return guidance

        def go(start: Images, guidance: Guidance, rows: Index) -> tuple[Images, Scores]:
            return auto_pgd(start, queries.images, guidance, threat, steps=steps, rows=rows)

        walks = [towards(place) for place in range(min(targets, len(centers)))]
        return best_of(queries, walks, threat, go)

    return craft


def nearest(codes: Codes, centers: GuideCodes, own: Labels) -> Tensor:
    """The classes by the nearness of their centers to each code, its own classes last: positions [codes, classes].

    Args:
        codes: relaxed codes [codes, bits].
        centers: [classes, bits].
        own: [codes, classes], 1 for the classes that a code's image has.
    """
    likeness = binarize(codes) @ centers.T - 2 * centers.shape[1] * own
    return likeness.sort(dim=1, descending=True, stable=True).indices
