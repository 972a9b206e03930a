"""The defenses of `planted.py` as a plugin, each registered under a name of its own."""

from collections.abc import Callable

import planted
from torch import nn

import hashbench
from hashbench.models.data import ImageSet
from hashbench.registry.protocols import Method

PLANTED: dict[str, Callable[[nn.Module], nn.Module]] = {
    "train-mode": planted.left_in_train_mode,
    "noisy": planted.noisy,
    "dead": planted.dead,
    "few-bits": planted.few_bits,
    "quantised": planted.quantised,
    "detached": planted.detached,
    "steep": planted.steep,
    "right-on-the-grid": planted.right_on_the_grid,
    "right-nearby": planted.right_nearby,
    "reversed": planted.reversed_,
    "brittle": planted.Brittle,
}


def register(name: str, make: Callable[[nn.Module], nn.Module]) -> None:
    """Register one of them."""

    @hashbench.defense(name, trains=False)
    def wrapped(
        model: hashbench.HashModel, train: ImageSet, method: Method, threat: hashbench.Threat
    ) -> hashbench.HashModel:
        """Seems to withstand attacks."""
        return planted.planted(model, make)


for _name, _make in PLANTED.items():
    register(_name, _make)
