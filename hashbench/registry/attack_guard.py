"""A guard around every attack: the victim's modes and weights are left as they were."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

from hashbench.models.batch_norm_folding import folded
from hashbench.models.data import Queries, Victim
from hashbench.models.model import frozen, sealed
from hashbench.registry.protocols import Attack, Craft
from hashbench.threat import Threat
from hashbench.types import Images


def guarded(function: Attack, *, sees_weights: bool) -> Attack:
    """The attack, prepared and run with the victim in eval mode and its weights frozen.

    Args:
        sees_weights: whether the attack gets the model itself; otherwise it gets one that answers with binary codes
            only.
    """

    @functools.wraps(function)
    def prepare(victim: Victim, threat: Threat, **params: Any) -> Craft:
        given = victim if sees_weights else replace(victim, model=sealed(victim.model))
        with frozen(victim.model):
            craft = function(given, threat, **params)

        def keep_modes(queries: Queries) -> Images:
            with frozen(victim.model), folded(victim.model):
                return craft(queries)

        return keep_modes

    return prepare
