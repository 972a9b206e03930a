"""On a linear model with disjoint pixels a bit, the best perturbation is known: gradient attacks find it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from toys import layers, linear_model, make_toy

from hashbench.crafting.objectives import agreement, clipped_agreement, masked_departure
from hashbench.crafting.prototype_networks import CodeNet
from hashbench.models.codes import anchor_code, center_code, class_codes, encode, mainstay_code, nearest
from hashbench.models.data import Queries, Victim
from hashbench.models.helpers import NONE, Settings, Tensors, Versions, train_anew
from hashbench.models.model import binarize
from hashbench.registry.entries import attacks
from hashbench.registry.spec import Spec
from hashbench.threat import Threat
from hashbench.types import Images

Guide = Callable[[Victim, Queries], torch.Tensor]


def memory(victim: Victim) -> torch.Tensor:
    return binarize(encode(victim.model, victim.train))


def center(victim: Victim, queries: Queries) -> torch.Tensor:
    return center_code(memory(victim), victim.train.labels, queries.labels)


def mainstay(victim: Victim, queries: Queries) -> torch.Tensor:
    return mainstay_code(memory(victim), victim.train.labels, queries.labels)


def own(victim: Victim, queries: Queries) -> torch.Tensor:
    return binarize(victim.model(queries.images))


def relaxed(victim: Victim, queries: Queries) -> torch.Tensor:
    return victim.model(queries.images).detach()


def wanted(victim: Victim, queries: Queries) -> torch.Tensor:
    return -mainstay_code(memory(victim), victim.train.labels, queries.wanted)


def anchor(members: int) -> Guide:
    def guide(victim: Victim, queries: Queries) -> torch.Tensor:
        return -anchor_code(victim.gallery, queries.wanted, queries.draw((len(victim.gallery.codes),)), members)

    return guide


def nearest_other(victim: Victim, queries: Queries) -> torch.Tensor:
    """Half of what the weighted guide code differs by from the nearest other class's center code."""
    centers = class_codes(memory(victim), victim.train.labels)
    place = nearest(victim.model(queries.images), centers, queries.labels)[:, 0]
    return (mainstay(victim, queries) - centers[place]) / 2


def prototype(victim: Victim, queries: Queries) -> torch.Tensor:
    """What the prototype network says that the attack has trained."""
    net = CodeNet(victim.train.labels.shape[1], victim.model.bits)
    net.load_state_dict(victim.keep("tha-prototypes", {}, dict))
    return -binarize(net(queries.wanted).detach())


# The code that an attack moves away from (the negative of the one it moves to), and the objective it minimises.
GUIDES: dict[str, tuple[Guide, Callable[..., torch.Tensor]]] = {
    "pgd-hamming": (center, agreement),
    "pgd-own": (own, agreement),
    "hag": (relaxed, masked_departure),
    "pharos": (mainstay, clipped_agreement),
    "apgd-hamming": (mainstay, clipped_agreement),
    "pharos-targeted": (wanted, clipped_agreement),
    "p2p": (anchor(1), agreement),
    "dhta": (anchor(9), agreement),
    "art-pgd": (center, agreement),
    "art-mim": (center, agreement),
    "art-fgm": (center, agreement),
    "tha": (prototype, agreement),
    "apgd-centers": (nearest_other, agreement),
}
QUICK = {"tha": {"net_steps": "20"}, "apgd-centers": {"targets": "1"}}


def linear_toy(bits: int) -> tuple[Victim, Queries]:
    """The toy with a linear model, which keeps what attacks train."""
    victim, queries = make_toy(linear_model(bits, 1, 8))
    kept: dict[str, Tensors] = {}

    def keep(
        name: str, settings: Settings, make: Callable[[], Tensors], *, of_victim: bool = True, versions: Versions = NONE
    ) -> Tensors:
        kept[name] = kept.get(name) or train_anew(name, settings, make)
        return kept[name]

    return replace(victim, keep=keep), queries


def assert_best(
    name: str, victim: Victim, queries: Queries, threat: Threat, best_images: Callable[..., Images]
) -> None:
    """An attack comes to within 1 % of the best value of its objective.

    Args:
        best_images: gradients of the agreement with the guide [images, ...] -> the best images.
    """
    crafted = attacks.choose(Spec(name, QUICK.get(name, {}))).call(victim, threat)(queries)
    guide_of, objective = GUIDES[name]
    guide = guide_of(victim, queries)
    push = (guide @ layers(victim.model)[1].weight).view(queries.images.shape)

    def value(images: torch.Tensor) -> torch.Tensor:
        return objective(victim.model(images), guide).detach()

    start, best = value(queries.images), value(best_images(push))
    found = value(crafted)
    assert (found <= best + 0.01 * torch.maximum(best.abs(), start - best) + 1e-6).all()


@pytest.mark.parametrize("name", GUIDES)
@pytest.mark.parametrize(("bits", "eps"), [(5, 0.02), (12, 0.1)])
def test_gradient_attacks_reach_the_best_value_of_their_objective(name: str, bits: int, eps: float) -> None:
    victim, queries = linear_toy(bits)
    clean = queries.images
    assert_best(name, victim, queries, Threat(eps), lambda push: (clean - eps * push.sign()).clamp(0, 1))


# ART cuts its steps to [0, 1] before they are projected, which loses a part of an l2 budget.
@pytest.mark.parametrize("name", [name for name in GUIDES if not name.startswith("art-")])
def test_gradient_attacks_reach_the_best_value_in_the_l2_ball(name: str) -> None:
    victim, queries = linear_toy(1)  # of several bits the budget would have to be shared
    clean, eps = queries.images, 1.0

    def best(push: Images) -> Images:
        low, high = torch.zeros(len(clean)), torch.full((len(clean),), 1e4)
        for _ in range(100):  # the longest way along the gradient, cut to [0, 1], by bisection
            middle = (low + high) / 2
            moved = (clean - middle[:, None, None, None] * push).clamp(0, 1)
            inside = (moved - clean).flatten(1).norm(dim=1) <= eps
            low, high = torch.where(inside, middle, low), torch.where(inside, high, middle)
        return (clean - low[:, None, None, None] * push).clamp(0, 1)

    assert_best(name, victim, queries, Threat(eps, "l2"), best)
