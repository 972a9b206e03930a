"""Interval training: its bounds, what they cost, and that codes become certain."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from tiny_networks import grid, random_model
from torch import nn
from toys import make_toy, random_images, small_model

from hashbench.certification.bounds import logit_bounds
from hashbench.certification.graph import trace
from hashbench.certification.intervals import Box
from hashbench.certification.refusal import NoCertificate
from hashbench.conformance.defenses import check_defense
from hashbench.conformance.rules import BUDGET
from hashbench.defenses.ibp import ibp
from hashbench.defenses.mtl_ibp import mtl_ibp
from hashbench.methods.csq import csq
from hashbench.models.codes import encode
from hashbench.models.data import ImageSet
from hashbench.models.model import HashModel
from hashbench.models.pass_counter import Passes, counted
from hashbench.registry.entries import backbones, defenses
from hashbench.registry.protocols import Method
from hashbench.registry.spec import Spec
from hashbench.threat import Threat
from hashbench.training.interval import (
    Clock,
    IntervalTerm,
    Worst,
    check_network,
    draw_weights,
    hinge,
    interval_logits,
    moments,
    worst_logits,
)
from hashbench.training.recipe import Recipe


@pytest.mark.parametrize("seed", range(0, 20, 2))
def test_no_corner_of_a_box_has_worse_logits(seed: int) -> None:
    model = random_model(seed, 3)
    images, guide = torch.rand(4, 1, 3, 3), torch.tensor([1.0, -1.0, 0.0]).repeat(4, 1)
    found = worst_logits(model, trace(model.network), images, 0.1, guide, {})
    box = Box((images - 0.1).clamp(min=0), (images + 0.1).clamp(max=1))
    with torch.no_grad():
        reached = (model.logits(grid(box).flatten(0, 1)).view(-1, 4, 3) * guide).amin(0)
    assert (found <= reached + 1e-4).all()
    assert (found[:, 2] == 0).all()


def test_norms_see_the_statistics_of_the_pass_that_is_watched() -> None:
    model = small_model().train()
    layers = list(model.network.children())
    layers[3] = nn.Identity()
    model = HashModel(nn.Sequential(*layers), model.bits).train()
    images = torch.rand(6, 1, 8, 8)
    with moments(model) as statistics:
        logits = model.logits(images)
    box = interval_logits(model, trace(model.network), Box(images, images), statistics)
    torch.testing.assert_close(box.lower, logits)
    torch.testing.assert_close(box.upper, logits)
    assert not layers[1]._forward_pre_hooks


def test_an_interval_pass_counts_as_two_and_leaves_no_trace() -> None:
    model, passes = random_model(0, 5), Passes()
    images = torch.rand(4, 1, 5, 5)
    with counted(model, passes):
        box = interval_logits(model, trace(model.network), Box(images, images), {})
        (box.lower - box.upper).sum().backward()  # type: ignore[no-untyped-call]
        assert (passes.forwards, passes.backwards) == (8, 8)
        model.logits(images)
    assert passes.forwards == 12
    assert "forward" not in vars(model.network)


def test_a_step_of_ibp_costs_three_passes_and_one_of_mtl_ibp_four_and_its_attack() -> None:
    victim, _ = make_toy(small_model())
    once = Recipe(epochs=1, batch_size=20)
    for defense, wanted in ((ibp, 3), (mtl_ibp, 7)):
        passes = Passes()
        with counted(victim.model, passes):
            defense(victim.model, victim.train, victim_method(victim.model, victim.train), Threat(0.1), recipe=once)
        images = len(victim.train)
        assert passes.backwards == wanted * images
        assert passes.forwards == (wanted + 2) * images  # the codes of the method's and the guides' memory


def victim_method(model: HashModel, train: ImageSet) -> Method:
    return csq(encode(model, train), train.labels)


def test_drawn_weights_keep_the_width_of_boxes() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(*[part for _ in range(6) for part in (nn.Linear(400, 400), nn.ReLU())])
    model = HashModel(network, 400).eval()
    images = torch.rand(8, 400)

    def growth() -> float:
        box = interval_logits(model, trace(network), Box(images - 0.01, images + 0.01), {})
        return (box.upper - box.lower).mean().item() / 0.02

    before = growth()
    draw_weights(model)
    assert 0.3 < growth() < 3 < before


def test_the_budget_rises_and_stays() -> None:
    clock = Clock(4)
    assert [clock.tick() for _ in range(6)] == [0.25, 0.5, 0.75, 1, 1, 1]
    other = Clock(4)
    other.load_state_dict(clock.state_dict())
    assert other.tick() == 1


def test_the_ramp_counts_the_batches_that_are_trained_on() -> None:
    victim, _ = make_toy(small_model())
    images = len(victim.train)
    for size, batches in ((images - 1, 1), (images // 2, 2), (images, 1)):  # a batch of one image is left out
        term = IntervalTerm(victim.model, victim.train, Recipe(epochs=10, batch_size=size), Worst(ramp=0.5))
        assert term.clock.ramp == 5 * batches


def test_bits_without_a_guide_do_not_count() -> None:
    margins = torch.tensor([[3.0, -2.0], [1.0, 5.0]])
    guide = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    wanted = torch.nn.functional.softplus(-margins[:, 0]).mean()
    torch.testing.assert_close(hinge(margins, guide), wanted)
    assert hinge(margins, torch.zeros(2, 2)) == 0


@pytest.mark.parametrize("name", ["ibp", "mtl-ibp"])
def test_bits_become_certain_and_the_architecture_stays(name: str) -> None:
    torch.manual_seed(0)
    train = random_images(64, seed=1)
    model = HashModel(backbones.choose(Spec.parse("cnn:width=4")).call(8, 1, 8), 8).eval()
    before = copy.deepcopy(model.state_dict())
    choice = defenses.choose(Spec.parse(f"{name}:epochs=15,batch_size=16,weight=1"))
    defended = choice.call(model, train, csq(encode(model, train), train.labels), Threat(0.05))
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert [(k, v.shape) for k, v in defended.state_dict().items()] == [(k, v.shape) for k, v in before.items()]
    images = random_images(40, seed=2).images[torch.arange(40)]
    shares = [logit_bounds(one, images, 0.05).fixed.double().mean().item() for one in (model, defended)]
    assert shares[1] > shares[0] + 0.3
    with torch.no_grad():
        assert np.unique((defended(images) >= 0).numpy(), axis=0).shape[0] > 1


@pytest.mark.parametrize("name", ["ibp", "mtl-ibp"])
def test_the_contract_of_defenses_holds(name: str) -> None:
    lines = check_defense(defenses.choose(Spec.parse(f"{name}:epochs=2")))
    assert [str(line) for line in lines if line.passed is False] == []
    assert [line.rule for line in lines if line.passed is None] == [BUDGET]


def test_a_network_without_bounds_is_refused_before_training() -> None:
    with pytest.raises(NoCertificate, match="type Tanh"):
        check_network(HashModel(nn.Sequential(nn.Flatten(), nn.Tanh(), nn.Linear(4, 2)), 2))
    choice = defenses.choose(Spec.parse("ibp"))
    with pytest.raises(NoCertificate, match="type Tanh"):
        choice.check(HashModel(nn.Sequential(nn.Flatten(), nn.Tanh(), nn.Linear(4, 2)), 2))
    assert Worst().widen == 1
