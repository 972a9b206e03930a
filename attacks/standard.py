"""The standard attack set: several attacks in turn, and for each query the image that ranks it worst."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from hashbench.attacks.apgd_hamming import apgd_hamming
from hashbench.attacks.pgd_own import pgd_own
from hashbench.attacks.soft_ap import soft_ap
from hashbench.attacks.square_hamming import square_hamming
from hashbench.attacks.transfer import transfer
from hashbench.codes import encode_batch
from hashbench.data import Queries, Victim
from hashbench.hamming_tensors import count_tensors
from hashbench.metrics import average_precision, collapsed
from hashbench.parameters import Share
from hashbench.protocols import Craft
from hashbench.registry import attack
from hashbench.threat import Threat
from hashbench.types import Images

NEAR_FLOOR = 0.01  # a query whose AP is this near to the lowest possible one leaves

Values = NDArray[np.float64]


@attack("standard", paper="ours", presets={"quick": {"share": 0.05}})
def standard(victim: Victim, threat: Threat, *, share: Share = 1.0, version: Literal[1] = 1) -> Craft:
    """Make the attacks of the set `standard-1` in turn and keep each query's image with the lowest exact AP.

    A query whose AP can't fall by more than 0.01 leaves the later attacks. The members were chosen on undefended,
    defended and broken models (`scripts/choose-standard`, leaderboards/attack-set.csv), where the set stays within
    0.6 points of mAP of the worst case of all untargeted attacks, and below it where gradients are hidden. `pgd-own`
    leads elsewhere than the guide codes of the others do, unit logits see through a steep tanh; the last three need
    no gradient of the victim and tell what a defense hides.

    Args:
        share: part of each member's gradients and questions, at least one of each; of `transfer`, whose gradients
            are a surrogate's, nothing is left out.
        version: of the set.
    """

    def part(gradients: int) -> int:
        return max(1, round(share * gradients))

    return in_turn(
        victim,
        [
            apgd_hamming(victim, threat, steps=part(100), restarts=1),
            soft_ap(victim, threat, approach=part(20), steps=part(60)),
            apgd_hamming(victim, threat, steps=part(50), restarts=2),
            pgd_own(victim, threat, steps=part(50), restarts=2),
            apgd_hamming(victim, threat, steps=part(50), restarts=1, logits="unit"),
            transfer(victim, threat),
            transfer(victim, threat, attack="soft-ap"),
            square_hamming(victim, threat, steps=part(300)),
        ],
    )


def in_turn(victim: Victim, members: Sequence[Craft]) -> Craft:
    """Prepared attacks one after the other: each query's image of the lowest average precision, or the clean one.

    A query leaves when its average precision is near the lowest possible one, or when it has none.
    """

    def craft(queries: Queries) -> Images:
        best = queries.images.clone()
        lowest, floor = precision(victim, queries)
        for member in members:
            places = np.flatnonzero(lowest > floor + NEAR_FLOOR)
            if not len(places):
                break
            left = queries.take(torch.from_numpy(places).to(best.device))
            images = member(left)
            found, _ = precision(victim, replace(left, images=images))
            wins = np.flatnonzero(found < lowest[places])
            best[torch.from_numpy(places[wins]).to(best.device)] = images[torch.from_numpy(wins).to(best.device)]
            lowest[places[wins]] = found[wins]
        return best

    return craft


def precision(victim: Victim, queries: Queries) -> tuple[Values, Values]:
    """Each query's exact average precision in the victim's gallery, and the lowest that any ranking gives."""
    codes = encode_batch(victim.model, queries.images)
    counts = count_tensors(codes, queries.labels, victim.gallery.codes, victim.gallery.labels)
    return average_precision(counts).expected, average_precision(collapsed(counts)).low
