"""On a linear model with disjoint pixels a bit, the best perturbation is known: gradient attacks find it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from toys import layers, linear_model, make_toy

from hashbench.attacks.apgd_centers import nearest
from hashbench.crafting.objectives import agreement, clipped_agreement, masked_departure
from hashbench.crafting.prototype_networks import CodeNet
from hashbench.models.codes import anchor_code, center_code, class_codes, encode, mainstay_code
from hashbench.models.data import Queries, Victim
from hashbench.models.helpers import NONE, Settings, Tensors, Versions, train_anew
from hashbench.models.model import binarize
from hashbench.registry.entries import attacks
from hashbench.registry.spec import Spec
from hashbench.threat import Threat

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


@pytest.mark.parametrize("name", GUIDES)
@pytest.mark.parametrize(("bits", "eps"), [(5, 0.02), (12, 0.1)])
def test_gradient_attacks_reach_the_best_value_of_their_objective(name: str, bits: int, eps: float) -> None:
    model = linear_model(bits, 1, 8)
    victim, queries = make_toy(model)
    kept: dict[str, Tensors] = {}

    def keep(
        name: str, settings: Settings, make: Callable[[], Tensors], *, of_victim: bool = True, versions: Versions = NONE
    ) -> Tensors:
        kept[name] = kept.get(name) or train_anew(name, settings, make)
        return kept[name]

    victim = replace(victim, keep=keep)
    crafted = attacks.choose(Spec(name, QUICK.get(name, {}))).call(victim, Threat(eps))(queries)
    guide_of, objective = GUIDES[name]
    guide = guide_of(victim, queries)
    push = (guide @ layers(model)[1].weight).sign().view(queries.images.shape)
    best_images = (queries.images - eps * push).clamp(0, 1)

    def value(images: torch.Tensor) -> torch.Tensor:
        return objective(model(images), guide).detach()

    start, best = value(queries.images), value(best_images)
    found = value(crafted)
    assert (found <= best + 0.01 * torch.maximum(best.abs(), start - best) + 1e-6).all()
