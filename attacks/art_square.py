"""ART's Square Attack (Andriushchenko et al., ECCV 2020), on binary codes."""

import itertools
import math

import numpy as np

from hashbench.models.codes import center_code, encode
from hashbench.models.data import Queries, Victim
from hashbench.models.model import binarize
from hashbench.registry.decorators import attack
from hashbench.registry.parameters import Count, Share
from hashbench.registry.protocols import Craft
from hashbench.threat import Threat
from hashbench.types import Images

STRIPES = 1  # ART asks for the loss of the clean images, then for that of the stripes


@attack(
    "art-square", access="decision", paper="Andriushchenko et al., ECCV 2020, by ART", presets={"quick": {"steps": 3}}
)
def art_square(victim: Victim, threat: Threat, *, steps: Count = 300, area: Share = 0.8) -> Craft:
    """Change squares of pixels by +-2 eps and keep what moves the binary code away from its center code, by ART.

    Keeps a change only if the distance grows, whereas `square-hamming` also keeps one that leaves it unchanged. ART
    tries the same squares on all queries, and none that touches the last row or column; its initial stripes are
    rejected, since their random numbers would depend on the batch.

    Args:
        steps: changes to try.
        area: share of the image that the first squares cover; a square is one pixel smaller than the image at least.
    """
    from hashbench.crafting import art_bridge  # slow to import

    memory = binarize(encode(victim.model, victim.train))

    def craft(queries: Queries) -> Images:
        guide = center_code(memory, victim.train.labels, queries.labels)
        host = art_bridge.HashEstimator(victim.model, tuple(queries.images.shape[1:]))
        calls = itertools.count()

        def agreement(candidates: art_bridge.Array, wanted: art_bridge.Array) -> art_bridge.Array:
            call = next(calls)
            art_bridge.seed_numpy("art-square", queries.seed, call)  # before every draw
            refused = np.inf if call == STRIPES else 0.0
            return np.asarray((host.predict(candidates) * wanted).mean(1) + refused)

        def never(codes: art_bridge.Array, wanted: art_bridge.Array) -> art_bridge.Array:
            return np.zeros(len(codes), dtype=bool)

        method = art_bridge.SquareAttack(
            host,
            adv_criterion=never,
            loss=agreement,
            max_iter=steps,
            eps=art_bridge.budget(threat),
            p_init=_within(area, *queries.images.shape[2:]),
            verbose=False,
        )
        with art_bridge.kept_state():
            return art_bridge.together(queries, threat, method, guide)

    return craft


def _within(area: float, height: int, width: int) -> float:
    """The share of an image, at most that of the largest square that ART can place."""
    side = min(height, width) - 1
    return area if round(math.sqrt(area * height * width)) <= side else side**2 / (height * width)
