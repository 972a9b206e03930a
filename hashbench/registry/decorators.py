"""The decorators that put functions into the registries."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from hashbench.registry.attack_guard import guarded
from hashbench.registry.entries import (
    Access,
    Entry,
    F,
    Goal,
    Grid,
    Registry,
    attacks,
    backbones,
    datasets,
    defenses,
    methods,
)
from hashbench.registry.parameters import Value
from hashbench.registry.protocols import Attack, Backbone, Dataset, Defense, MethodFactory


def attack(
    name: str,
    *,
    goal: Goal = "untargeted",
    access: Access = "white",
    paper: str = "",
    version: int = 1,
    presets: Mapping[str, Mapping[str, Value]] | None = None,
) -> Callable[[Attack], Attack]:
    """Register an attack: a function of a victim and a threat that returns a crafting function.

    Both run with the victim in eval mode and its weights frozen; both are restored afterwards. An
    attack without white access gets a victim that answers with binary codes only.

    Args:
        goal: `targeted` attacks find `queries.targets`; `inner`: the goal of the attack that the
            parameter `attack` names.
        access: what it knows of the victim.
        version: raised whenever the same parameters give other digits than before; so in all registries.
        presets: named sets of parameter values: `paper` for those of the publication, `quick` for
            the cheapest that show that the attack runs.
    """

    def register(function: Attack) -> Attack:
        prepare = guarded(function, sees_weights=access == "white")
        attacks.add(Entry(name, prepare, paper, version, goal=goal, access=access, presets=presets or {}))
        return prepare

    return register


def defense(
    name: str,
    *,
    trains: bool = True,
    transforms: bool = False,
    paper: str = "",
    version: int = 1,
    check: Callable[..., None] | None = None,
    grid: Grid | None = None,
) -> Callable[[Defense], Defense]:
    """Register a defense: a function that makes a defended model from a trained one.

    A defense that `trains` must return a model of the same architecture, whose weights are kept;
    one that does not is applied anew each time. One that `transforms` puts a `Transformed` before the
    network; it is also attacked by someone who does not know of it. `check` is called with an untrained
    model and the defense's parameters before anything is trained, and raises a UsageError if it can't work.
    `grid` holds the values of the parameters that `hashbench tune` tries, all combinations of them.
    """

    def register(function: Defense) -> Defense:
        defenses.add(
            Entry(name, function, paper, version, trains=trains, transforms=transforms, check=check, grid=grid or {})
        )
        return function

    return register


def method(name: str, *, paper: str = "", version: int = 1) -> Callable[[MethodFactory], MethodFactory]:
    """Register a hashing method."""
    return _adder(methods, name, paper, version)


def backbone(
    name: str, *, paper: str = "", version: int = 1, needs: Callable[..., str] | None = None
) -> Callable[[Backbone], Backbone]:
    """Register a backbone; `needs` takes its parameters and says what it would have to fetch, if anything."""

    def register(function: Backbone) -> Backbone:
        backbones.add(Entry(name, function, paper, version, needs=needs))
        return function

    return register


def dataset(name: str, *, paper: str = "", version: int = 1) -> Callable[[Dataset], Dataset]:
    """Register a data set. A parameter `root` names a folder and is no part of the data's identity."""
    return _adder(datasets, name, paper, version)


def _adder(registry: Registry[F], name: str, paper: str, version: int) -> Callable[[F], F]:
    def register(function: F) -> F:
        registry.add(Entry(name, function, paper, version))
        return function

    return register
