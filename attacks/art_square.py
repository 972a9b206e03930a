"""ART's Square Attack (Andriushchenko et al., ECCV 2020), on binary codes."""

import numpy as np

from hashbench.codes import center_code, encode
from hashbench.data import Queries, Victim
from hashbench.model import binarize
from hashbench.parameters import Count, Share
from hashbench.protocols import Craft
from hashbench.registry import attack
from hashbench.threat import Threat
from hashbench.types import Images


@attack(
    "art-square", access="decision", paper="Andriushchenko et al., ECCV 2020, by ART", presets={"quick": {"steps": 3}}
)
def art_square(victim: Victim, threat: Threat, *, steps: Count = 50, area: Share = 0.8) -> Craft:
    """Change squares of pixels by +-2 eps, keep what takes the binary code away from its center code, by ART.

    Keeps a change only if the distance grows, where `square-hamming` also keeps one that costs nothing.

    Args:
        steps: changes that are tried.
        area: share of the image that the first squares cover.
    """
    from hashbench import art  # slow to import

    memory = binarize(encode(victim.model, victim.train))

    def craft(queries: Queries) -> Images:
        guides = art.as_array(center_code(memory, victim.train.labels, queries.labels))
        images = art.as_array(queries.images)
        host = art.HashEstimator(victim.model, images.shape[1:])

        def agreement(candidates: art.Array, guide: art.Array) -> art.Array:
            return np.asarray((host.predict(candidates) * guide).mean(1))

        def never(codes: art.Array, guide: art.Array) -> art.Array:
            return np.zeros(len(codes), dtype=bool)

        method = art.SquareAttack(
            host,
            adv_criterion=never,
            loss=agreement,
            max_iter=steps,
            eps=art.budget(threat),
            p_init=area,
            verbose=False,
        )

        def one(place: int) -> art.Array:
            return np.asarray(method.generate(x=images[place : place + 1], y=guides[place : place + 1]))

        return art.each(queries, threat, one)

    return craft
