"""ART's HopSkipJump (Chen et al., S&P 2020), on a head of class prototypes."""

import numpy as np
import torch

from hashbench.models.codes import class_codes, encode
from hashbench.models.data import Queries, Victim
from hashbench.models.model import binarize
from hashbench.registry.decorators import attack
from hashbench.registry.parameters import Count
from hashbench.registry.protocols import Craft
from hashbench.threat import Threat
from hashbench.types import Images

POOL = 1000  # training images that a search may start from


@attack(
    "art-hopskipjump",
    threats=("linf", "l2"),
    access="decision",
    paper="Chen et al., S&P 2020, by ART on a surrogate head",
    presets={"quick": {"steps": 1, "evaluations": 4}},
)
def art_hopskipjump(victim: Victim, threat: Threat, *, steps: Count = 2, evaluations: Count = 40) -> Craft:
    """Search along the boundary of the class whose prototype the query agrees with most, by ART's HopSkipJump.

    Sees only the decisions of a head of prototypes, which stands in for retrieval since ART needs a classifier.
    Starts from the nearest training image of another class. The attack looks for the nearest image across the
    boundary, however far away it is; the last step projects it onto the budget.

    Args:
        steps: iterations along the boundary.
        evaluations: how many decisions may be used to estimate a direction.
    """
    from hashbench.crafting import art_bridge  # slow to import

    prototypes = class_codes(binarize(encode(victim.model, victim.train)), victim.train.labels)
    pool = victim.train.images[torch.arange(min(POOL, len(victim.train)))].to(prototypes.device)
    head = art_bridge.prototype_head(victim.model, prototypes, tuple(pool.shape[1:]))

    def classes(images: Images) -> torch.Tensor:
        return torch.from_numpy(head.predict(art_bridge.as_array(images)).argmax(1))

    pool_classes = classes(pool)

    def craft(queries: Queries) -> Images:
        images = art_bridge.as_array(queries.images)
        method = art_bridge.HopSkipJump(
            head,
            norm=art_bridge.order(threat),
            max_iter=steps,
            init_eval=min(20, evaluations),
            max_eval=evaluations,
            verbose=False,
        )
        apart = torch.cdist(queries.images.flatten(1), pool.flatten(1)).cpu()
        apart[classes(queries.images)[:, None] == pool_classes] = torch.inf

        def one(place: int) -> art_bridge.Array:
            image = images[place : place + 1]
            if torch.isinf(apart[place]).all():
                return image
            start = art_bridge.as_array(pool[apart[place].argmin()][None])
            return np.asarray(method.generate(x=image, x_adv_init=start))

        return art_bridge.each(queries, threat, one)

    return craft
