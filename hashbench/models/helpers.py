"""Helper networks that an attack trains once per victim: prototype networks, generators, surrogates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from hashbench.seeds import derive_seed, seeded

Tensors = dict[str, Tensor]
Settings = Mapping[str, Any]
Version = int | str  # of an entry; for a plugin file, followed by + and the digest of its code
Versions = Mapping[str, Version]
NONE: Versions = MappingProxyType({})


@runtime_checkable
class Keep(Protocol):
    """Provides the tensors of a helper: trained now, or stored by an earlier run."""

    def __call__(
        self,
        name: str,
        settings: Settings,
        make: Callable[[], Tensors],
        *,
        of_victim: bool = True,
        versions: Versions = NONE,
    ) -> Tensors:
        """The tensors that `make` returns, on the CPU.

        Args:
            name: what the helper is called on progress bars and in the store.
            settings: everything that `make` depends on besides the victim and its training set.
            make: trains the helper; it draws from the global random state, which is seeded for it.
            of_victim: whether the helper depends on the victim's weights; otherwise all victims on a data set share
                it.
            versions: versions of the registered entries that `make` uses, by role.
        """


def train_anew(
    name: str,
    settings: Settings,
    make: Callable[[], Tensors],
    *,
    of_victim: bool = True,
    versions: Versions = NONE,
) -> Tensors:
    """Train a helper without storing it; the arguments are those of `Keep`."""
    with seeded(derive_seed("helper", name, sorted(settings.items()))):
        return on_cpu(make())


def on_cpu(tensors: Tensors) -> Tensors:
    """The tensors as the store returns them."""
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
