"""Passes through a network that trainings and attacks take, from their parameters, and what a training's step holds."""

from __future__ import annotations

from collections.abc import Mapping

from hashbench.models.pass_cost import PassForecast, StepForecast
from hashbench.registry import entries
from hashbench.registry.entries import Choice
from hashbench.registry.parameters import Value
from hashbench.registry.protocols import Attack
from hashbench.registry.spec import Spec


def clean_passes(parameters: Mapping[str, Value], images: int) -> PassForecast:
    """Those of clean training on a number of images."""
    return PassForecast(0, _times(parameters, "epochs") * images)


def defense_passes(parameters: Mapping[str, Value], images: int) -> PassForecast:
    """Those of a defense's training on a number of images: each once an epoch, and with an inner attack twice more."""
    inner = _times(parameters, "steps")
    return PassForecast(0, _times(parameters, "epochs") * images * (inner + 2 if inner else 1))


def attack_passes(attack: Choice[Attack] | None, queries: int, images: int) -> PassForecast:
    """Those of an attack on a number of queries, with those of the attacks that it runs by itself, at their defaults.

    Args:
        images: that its helpers are trained on.
    """
    if attack is None:
        return PassForecast(queries, 0)
    steps = _times(attack.visible, "steps", "restarts") * queries
    white = attack.entry.access in ("white", "transfer")
    found = PassForecast(0, steps) if white else PassForecast(steps, 0)
    found += PassForecast(queries, _times(attack.visible, "epochs") * images)
    for kind, name in attack.entry.uses:
        if kind == "attack":
            found += attack_passes(entries.attacks.choose(Spec(name)), queries, images)
    return found


def training_step(parameters: Mapping[str, Value], *, defended: bool = False) -> StepForecast:
    """What a training's step holds: an adversarial one the model that it began with, and crafted images too."""
    size = _times(parameters, "batch_size")
    further = sum(bool(parameters.get(name)) for name in ("ema", "awp"))  # an average of the weights; moved weights
    plain = parameters.get("optimiser") == "sgd"
    moments, temporaries = (1, 1) if plain else (2, 2)
    return StepForecast(size * (1 + defended), 2 + moments + defended + further, temporaries)


def _times(parameters: Mapping[str, Value], *names: str) -> int:
    """The product of those of the named parameters that are integers; 0 if there are none."""
    found = [value for name in names if isinstance(value := parameters.get(name), int)]
    product = 1
    for value in found:
        product *= value
    return product if found else 0
