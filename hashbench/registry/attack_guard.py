"""A guard around every attack: what it may see of the victim, whose modes and weights are left as they were."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from hashbench.models.batch_norm_folding import folded
from hashbench.models.data import Queries, Victim
from hashbench.models.model import frozen, sealed
from hashbench.registry.parameters import parameters
from hashbench.registry.protocols import Attack, Craft
from hashbench.registry.ranking_box import RankingBox, ranking_box, without_labels
from hashbench.registry.tracks import RANKING, TOP
from hashbench.threat import Threat
from hashbench.types import Images


def guarded(function: Callable[..., Craft], access: str) -> Attack:
    """The attack, prepared and run with the victim in eval mode and its weights frozen.

    Args:
        access: what the attack may see of the victim, as `shown` gives it.
    """
    defaults = {parameter.name: parameter.default for parameter in parameters(function)}

    @functools.wraps(function)
    def prepare(victim: Victim, threat: Threat, **params: Any) -> Craft:
        given = shown(victim, access, defaults | params)
        with frozen(victim.model):
            craft = function(given, threat, **params)

        def keep_modes(queries: Queries) -> Images:
            with frozen(victim.model), folded(victim.model):
                return craft(without_labels(queries) if access == RANKING else queries)

        return keep_modes

    return prepare


def shown(victim: Victim, access: str, params: Mapping[str, Any]) -> Victim | RankingBox:
    """What an attack is given of a victim.

    With white access that is the victim itself; with `ranking` a box that answers with the ids of the top items, as
    many as the attack's parameter `top` says; with any other a victim whose model answers with binary codes.
    """
    if access == RANKING:
        return ranking_box(victim, params[TOP])
    return victim if access == "white" else replace(victim, model=sealed(victim.model))
