"""Transfer attacks reach the best value of their objective on a linear surrogate, where it is known.

The surrogate is linear with disjoint pixels a bit, like the victim, but has weights of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import torch
from torch import nn
from toys import layers, linear_model, make_toy

from hashbench.crafting.objectives import agreement
from hashbench.models.codes import anchor_code, center_code, encode
from hashbench.models.data import Gallery, Queries, Victim
from hashbench.models.helpers import NONE, Settings, Tensors, Versions
from hashbench.models.model import HashModel, binarize
from hashbench.registry.decorators import backbone
from hashbench.registry.entries import attacks, backbones
from hashbench.registry.spec import Spec
from hashbench.threat import Threat

BITS = 6
NOISES = 200  # draws that stand for the expectation over the noise


@pytest.fixture
def surrogate() -> Iterator[HashModel]:
    """A linear model whose network a registered backbone builds."""
    model = linear_model(BITS, 1, 8, seed=7)

    @backbone("toy-linear")
    def toy_linear(bits: int, channels: int, size: int) -> nn.Module:
        """Pixels to bits."""
        return linear_model(bits, channels, size).network

    yield model
    backbones._entries.pop("toy-linear")


def attacked(name: str, surrogate: HashModel, eps: float) -> tuple[Victim, Queries, torch.Tensor]:
    """The victim, whose store holds the surrogate, the queries, and what the attack makes of them."""

    def keep(
        name: str, settings: Settings, make: Callable[[], Tensors], *, of_victim: bool = True, versions: Versions = NONE
    ) -> Tensors:
        assert name == "surrogate"
        assert not of_victim
        return surrogate.state_dict()

    victim, queries = make_toy(linear_model(BITS, 1, 8))
    victim = replace(victim, keep=keep)
    spec = Spec(name, {"backbone": "toy-linear"})
    return victim, queries, attacks.choose(spec).call(victim, Threat(eps))(queries)


def best_images(surrogate: HashModel, queries: Queries, away: torch.Tensor, eps: float) -> torch.Tensor:
    """Each pixel at the end that takes its bit away from a code."""
    push = (away @ layers(surrogate)[1].weight).sign().view(queries.images.shape)
    found: torch.Tensor = (queries.images - eps * push).clamp(0, 1).detach()
    return found


@pytest.mark.parametrize("eps", [0.02, 0.1])
def test_transfer_reaches_the_optimum_of_its_inner_attack_on_the_surrogate(surrogate: HashModel, eps: float) -> None:
    victim, queries, found = attacked("transfer", surrogate, eps)
    guide = center_code(binarize(encode(surrogate, victim.train)), victim.train.labels, queries.labels)
    best = best_images(surrogate, queries, guide, eps)
    mine, theirs, start = (agreement(surrogate(images), guide).detach() for images in (found, best, queries.images))
    assert (mine <= theirs + 0.01 * (start - theirs) + 1e-6).all()


@pytest.mark.parametrize("eps", [0.02, 0.1])
def test_nag_reaches_the_optimum_of_its_expected_distance_on_the_surrogate(surrogate: HashModel, eps: float) -> None:
    """Whatever the noise, a pixel that takes its bit nearer to the target lowers both terms.

    So the best vertex is the best image for every draw, and for the expectation.
    """
    victim, queries, found = attacked("nag", surrogate, eps)
    own = Gallery(binarize(encode(surrogate, victim.train)), victim.train.labels)
    target = anchor_code(own, queries.wanted, queries.draw((len(own.codes),)), members=1)
    best = best_images(surrogate, queries, -target, eps)
    generator = torch.Generator().manual_seed(0)
    noises = eps * (2 * torch.rand(NOISES, *queries.images.shape, generator=generator) - 1)

    def value(images: torch.Tensor) -> torch.Tensor:
        noisy = torch.stack([(surrogate(images + noise) - target).abs().mean(1) for noise in noises]).mean(0)
        return ((surrogate(images) - target).abs().mean(1) + noisy).detach()

    mine, theirs, start = (value(images) for images in (found, best, queries.images))
    assert (mine <= theirs + 0.01 * (start - theirs) + 1e-6).all()
