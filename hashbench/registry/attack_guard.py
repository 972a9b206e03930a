"""A guard around every attack: what it may see of the victim, and that it leaves the victim as it was."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from hashbench.errors import WroteInto
from hashbench.models.batch_norm_folding import folded
from hashbench.models.data import Queries, Victim
from hashbench.models.model import frozen, sealed, unwritten, writes
from hashbench.registry.parameters import parameters
from hashbench.registry.protocols import Attack, Craft
from hashbench.registry.ranking_box import RankingBox, ranking_box, without_labels
from hashbench.registry.tracks import RANKING, TOP
from hashbench.seeds import seeded
from hashbench.threat import Threat
from hashbench.types import Images


def guarded(function: Callable[..., Craft], access: str) -> Attack:
    """The attack, prepared and run with the victim in eval mode and its weights frozen.

    Modes are restored, whatever the attack does; one that changes weights or data ends its cell, see `LentVictim`.

    Args:
        access: what the attack may see of the victim, as `shown` gives it.
    """
    defaults = {parameter.name: parameter.default for parameter in parameters(function)}

    @functools.wraps(function)
    def prepare(victim: Victim, threat: Threat, **params: Any) -> Craft:
        given, lent = shown(victim, access, defaults | params), LentVictim(victim)
        with lent.only_read(), frozen(victim.model):
            craft = function(given, threat, **params)

        def keep_modes(queries: Queries) -> Images:
            with lent.only_read(), frozen(victim.model), folded(victim.model):
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


def tensors_of(victim: Victim) -> dict[str, Any]:
    """What an attack reads besides the model, by name; images may be no tensor."""
    return {
        "victim.gallery.codes": victim.gallery.codes,
        "victim.gallery.labels": victim.gallery.labels,
        "victim.train.images": victim.train.images,
        "victim.train.labels": victim.train.labels,
    }


@dataclass
class LentVictim:
    """A victim that an attack may read and not change, since other attacks and the judge read it too.

    What an attack changes in the model and puts back is no change, nor are buffers that the model itself writes in a
    pass. Not seen are writes by way of `tensor.data` or a NumPy array, which `hashbench check` sees, and changes of
    modules that are no tensors, such as hooks.

    Attributes:
        known: every weight and buffer with its count of writes and a copy.
    """

    victim: Victim
    known: dict[str, tuple[Tensor, int, Tensor]] = field(default_factory=dict)

    @contextmanager
    def only_read(self) -> Iterator[None]:
        """Run a block of an attack's.

        Raises:
            WroteInto: it changed the victim.
        """
        state = _state(self.victim.model)
        kept = {name: held for name, held in self.known.items() if name in state and not _moved(state[name], held)}
        fresh = {name: tensor for name, tensor in state.items() if name not in kept}
        self.known = kept | {name: (one, writes(one), one.detach().clone()) for name, one in fresh.items()}
        with unwritten("the attack", tensors_of(self.victim)):
            try:
                yield
            except Exception:
                self._check()
                raise
            self._check()

    def _check(self) -> None:
        state, known = _state(self.victim.model), self.known
        there = {name: held for name, held in known.items() if name in state}
        changed = [
            name for name, held in there.items() if _moved(state[name], held) and not _same(state[name], held[2])
        ]
        changed += sorted(state.keys() ^ known.keys())
        if changed and (names := [name for name in changed if name not in self._written_in_a_pass()]):
            raise WroteInto(
                f"the attack changed {names[0]} of its victim's model, which other rows read too; "
                "work on copy.deepcopy(victim.model)"
            )

    def _written_in_a_pass(self) -> set[str]:
        """Buffers that the model itself writes, as a copy of it shows."""
        images = self.victim.train.images[torch.arange(1)].to(self.victim.gallery.codes.device)
        with suppress(Exception), seeded(0), torch.no_grad():  # a plugin's model may not be one that can be copied
            model = copy.deepcopy(self.victim.model)
            before = {name: (one, writes(one), one) for name, one in model.named_buffers()}
            with frozen(model):
                model(images)
            return {name for name, one in model.named_buffers() if name in before and _moved(one, before[name])}
        return set()


def _state(model: nn.Module) -> dict[str, Tensor]:
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


def _moved(tensor: Tensor, known: tuple[Tensor, int, Tensor]) -> bool:
    """Whether a tensor is another one or was written into, be it with the same values."""
    return tensor is not known[0] or writes(tensor) != known[1]


def _same(one: Tensor, other: Tensor) -> bool:
    return (one.dtype, one.device) == (other.dtype, other.device) and torch.equal(one, other)
