"""The decorators that put functions into the registries."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hashbench.errors import PluginError
from hashbench.registry.attack_guard import guarded
from hashbench.registry.entries import (
    Registry,
    attacks,
    backbones,
    datasets,
    defenses,
    methods,
)
from hashbench.registry.entry import Access, Entry, F, Goal, Grid, Presets
from hashbench.registry.parameters import parameters
from hashbench.registry.protocols import Attack, Backbone, Dataset, Defense, MethodFactory, RankingAttack
from hashbench.registry.tracks import RANKING, TOP
from hashbench.threat import KINDS


def attack(
    name: str,
    *,
    goal: Goal = "untargeted",
    access: Access = "white",
    threats: tuple[str, ...] = ("linf",),
    paper: str = "",
    version: int = 1,
    uses: Sequence[tuple[str, str]] = (),
    presets: Presets | None = None,
) -> Callable[[Attack | RankingAttack], Attack]:
    """Register an attack: a function of a victim and a threat that returns a crafting function.

    Both run with the victim in eval mode and its weights frozen; both are restored afterwards. An attack
    without white access gets a victim that answers with binary codes only; one with access `ranking` gets a
    `RankingBox` in its place and queries without labels, and has a parameter `top`: how many ids the box answers with.

    Args:
        name: the name on the command line and in tables.
        goal: `targeted` attacks find their targets in `queries.targets`; `inner` means the goal of the attack that
            the parameter `attack` names.
        access: what the attack knows of the victim.
        threats: what it works with: linf, l2, patch; ("linf", "l2") if it steps along `threat.steepest(gradient)`.
        paper: the publication, for `hashbench list`.
        version: raised whenever the same parameters give different digits; so in all registries.
        uses: kinds and names of entries that the function calls by itself: ("attack", "soft-ap").
        presets: named sets of parameter values: `paper` for those of the publication, `quick` for the cheapest that
            show that the attack runs.

    Raises:
        PluginError: on decorating, if the name is taken, access `ranking` lacks `top`, or what is said can't be used.

    >>> @attack("brighten")
    ... def brighten(victim, threat, *, share: float = 1.0):
    ...     def craft(queries):
    ...         return threat.project(queries.images + share * threat.eps, queries.images)
    ...     return craft
    >>> attacks["brighten"].goal
    'untargeted'
    """

    def register(function: Attack | RankingAttack) -> Attack:
        if access == RANKING and TOP not in {parameter.name for parameter in parameters(function)}:
            what = f"no parameter {TOP}: how many ids an answer has; add the argument {TOP}: int = 50"
            raise PluginError(f"attack {name!r} has access {RANKING} and {what}")
        prepare = guarded(function, access)
        attacks.add(Entry(name, prepare, paper, version, goal, access, threats, uses=uses, presets=presets or {}))
        return prepare

    return register


def defense(
    name: str,
    *,
    trains: bool = True,
    transforms: bool = False,
    threats: tuple[str, ...] = KINDS,
    paper: str = "",
    version: int = 1,
    check: Callable[..., None] | None = None,
    grid: Grid | None = None,
    presets: Presets | None = None,
) -> Callable[[Defense], Defense]:
    """Register a defense: a function that makes a defended model from a trained one.

    Args:
        name: the name on the command line and in tables.
        trains: whether it trains weights. If so, it must return a model of the same architecture, whose weights are
            stored; if not, it is applied again each time, for all budgets alike, and reading `threat` is an error.
        transforms: whether it puts a `Transformed` before the network. If so, it is also attacked by an attacker who
            does not know of the transformation.
        threats: the kinds of threats that it works with, all by default. Under a patch, trainings get the data set's
            own l-inf threat.
        paper: the publication, for `hashbench list`.
        version: raised whenever the same parameters give different digits.
        check: called with an untrained model and the defense's parameters before anything is trained; raises a
            UsageError if the defense can't work.
        grid: the parameter values that `hashbench tune` tries, in all combinations.
        presets: named sets of parameter values: `strong` for the best that are known.

    Raises:
        PluginError: on decorating, if the name is taken, or a name, a word, a version or a value can't be used; the
            message says which, and what to write. Images of the database can't be used by default.

    >>> @defense("as-it-is", trains=False)
    ... def as_it_is(model, train, method, threat):
    ...     return model
    >>> defenses["as-it-is"].trains
    False
    """

    def register(function: Defense) -> Defense:
        defenses.add(
            Entry(
                name, function, paper, version, trains=trains, transforms=transforms, threats=threats, check=check,
                grid=grid or {}, presets=presets or {},
            )
        )  # fmt: skip
        return function

    return register


def method(name: str, *, paper: str = "", version: int = 1) -> Callable[[MethodFactory], MethodFactory]:
    """Register a hashing method: a function of initial codes and labels that returns a `Method`.

    Raises:
        PluginError: on decorating, if the name is taken, or a name, a version or a default can't be used.

    >>> from hashbench.registry.protocols import Method
    >>> class Agreement(Method):
    ...     def forward(self, codes, labels, index):
    ...         return ((codes - (2 * labels - 1)) ** 2).mean()
    >>> @method("agreement", paper="mine, 2027")
    ... def agreement(codes, labels):
    ...     return Agreement()
    >>> methods["agreement"].paper
    'mine, 2027'
    """
    return _adder(methods, name, paper, version)


def backbone(
    name: str, *, paper: str = "", version: int = 1, needs: Callable[..., str] | None = None
) -> Callable[[Backbone], Backbone]:
    """Register a backbone: a function of bits, channels and image size that returns a network giving logits.

    Args:
        name: the name on the command line and in tables.
        paper: the publication, for `hashbench list`.
        version: raised whenever the same parameters give different digits.
        needs: takes the backbone's parameters and says what has to be downloaded; empty if nothing.

    Raises:
        PluginError: on decorating, if the name is taken, or a name, a version or a default can't be used.

    >>> from torch import nn
    >>> @backbone("linear")
    ... def linear(bits, channels, size):
    ...     return nn.Sequential(nn.Flatten(), nn.Linear(channels * size**2, bits))
    >>> backbones["linear"].function(16, 1, 8)[1].out_features
    16
    """

    def register(function: Backbone) -> Backbone:
        backbones.add(Entry(name, function, paper, version, needs=needs))
        return function

    return register


def dataset(name: str, *, paper: str = "", version: int = 1) -> Callable[[Dataset], Dataset]:
    """Register a data set: a function that returns a `RetrievalSplit`.

    A parameter `root` names a folder on this machine and is not part of the data's identity.

    Raises:
        PluginError: on decorating, if the name is taken, or a name, a version or a default can't be used.

    >>> import torch
    >>> from hashbench.models.data import ImageSet, split_of_tensors
    >>> @dataset("black")
    ... def black():
    ...     part = ImageSet(torch.zeros(2, 1, 8, 8), torch.eye(2))
    ...     return split_of_tensors(train=part, queries=part, validation=part, database=part, eps=8 / 255)
    >>> datasets["black"].function().size
    8
    """
    return _adder(datasets, name, paper, version)


def _adder(registry: Registry[F], name: str, paper: str, version: int) -> Callable[[F], F]:
    def register(function: F) -> F:
        registry.add(Entry(name, function, paper, version))
        return function

    return register
