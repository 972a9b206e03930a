"""ART's Square Attack (Andriushchenko et al., ECCV 2020), on binary codes."""

import itertools

import numpy as np

from hashbench.codes import center_code, encode
from hashbench.data import Queries, Victim
from hashbench.model import binarize
from hashbench.parameters import Count, Share
from hashbench.protocols import Craft
from hashbench.registry import attack
from hashbench.threat import Threat
from hashbench.types import Images

STRIPES = 1  # ART asks for the loss of the clean images, then for that of the stripes


@attack(
    "art-square", access="decision", paper="Andriushchenko et al., ECCV 2020, by ART", presets={"quick": {"steps": 3}}
)
def art_square(victim: Victim, threat: Threat, *, steps: Count = 300, area: Share = 0.8) -> Craft:
    """Change squares of pixels by +-2 eps, keep what takes the binary code away from its center code, by ART.

    Keeps a change only if the distance grows, where `square-hamming` also keeps one that costs nothing.
    ART tries the same squares on all queries; its stripes at the start are refused, since their numbers
    would depend on the batch.

    Args:
        steps: changes that are tried.
        area: share of the image that the first squares cover.
    """
    from hashbench import art  # slow to import

    memory = binarize(encode(victim.model, victim.train))

    def craft(queries: Queries) -> Images:
        guide = center_code(memory, victim.train.labels, queries.labels)
        host = art.HashEstimator(victim.model, tuple(queries.images.shape[1:]))
        calls = itertools.count()

        def agreement(candidates: art.Array, wanted: art.Array) -> art.Array:
            call = next(calls)
            art.seed_numpy("art-square", queries.seed, call)  # before every draw, whatever was drawn for the batch
            refused = np.inf if call == STRIPES else 0.0
            return np.asarray((host.predict(candidates) * wanted).mean(1) + refused)

        def never(codes: art.Array, wanted: art.Array) -> art.Array:
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
        with art.kept_state():
            return art.together(queries, threat, method, guide)

    return craft
