"""The attack set `standard-3`: further walks than those of `standard-2`, by the smooth average precision."""

from __future__ import annotations

from functools import partial

from hashbench.attacks.standard_2 import FIRST, USES, by_walks
from hashbench.crafting.walks import Aims, Walk
from hashbench.models.data import Victim
from hashbench.registry.decorators import attack
from hashbench.registry.parameters import Share
from hashbench.registry.protocols import Craft
from hashbench.threat import Threat

NEAR = 0.04  # later walks are for queries that are not so near to the floor yet
NEARBY, TRIED = 0.03, 3  # AP that a query has lost before walks to the nearest other centers, and how many of these
FAR = 0.08  # AP that it has lost before the last three walks

LATER = (
    Walk(None, 0, 40, near=NEAR, smooth=True),
    Walk(Aims.from_own, 20, 25, near=NEAR, smooth=True),
    *(Walk(partial(Aims.to_center, place=place), 10, 12, NEARBY, NEAR, smooth=True) for place in range(TRIED)),
    Walk(Aims.from_guide_annealed, 20, 30, FAR, NEAR, smooth=True),
    Walk(Aims.from_own, 20, 30, FAR, NEAR, smooth=True),
    Walk(None, 0, 40, FAR, NEAR, smooth=True),
)


@attack(
    "standard-3",
    threats=("linf", "l2"),
    paper="ours",
    uses=USES,
    presets={"quick": {"share": 0.05}},
)
def standard_3(victim: Victim, threat: Threat, *, share: Share = 1.0) -> Craft:
    """Search for each query's image of lowest exact AP in more walks than `standard-2`, most by the smooth AP.

    The first two walks are those of `standard-2`. The others end in AutoPGD on the smooth average precision, which
    finds minima that single bits don't lead to: from the lowest image so far; from the query's own code; from the
    weighted guide code to the three nearest center codes of other classes; and, for queries whose AP has fallen by
    more than 0.08, from the guide code through the annealed tanh, from the own code and from the lowest image again.
    The black-box part is that of `standard-2`. docs/protocol.md has the walks, and what was measured.

    Args:
        share: share of the steps of each stage, at least one; `transfer` always runs in full.
    """
    return by_walks(victim, threat, FIRST, LATER, share)
