"""Budgets that differ by image, and trainings from random weights."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from toys import linear_model, random_images, small_model

from hashbench.crafting.objectives import agreement
from hashbench.errors import BadParameter
from hashbench.methods.csq import csq
from hashbench.models.codes import center_code, encode
from hashbench.models.data import ImageSet
from hashbench.models.model import HashModel
from hashbench.threat import Threat
from hashbench.training.adversarial import Guided, InnerAttack
from hashbench.training.budgets import Margins, budget_shares
from hashbench.training.guided import GuidedLoss, guided_training, with_random_weights
from hashbench.training.recipe import Recipe
from hashbench.training.regularisers import Mix, Regularisers

FIRM = InnerAttack(steps=4, step_ratio=1.0)


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=12), st.floats(-1, 1))
def test_shares_keep_their_mean_and_follow_the_margins(margins: list[int], spread: float) -> None:
    shares = budget_shares(torch.tensor(margins, dtype=torch.float64), spread)
    assert shares.mean().item() == pytest.approx(1)
    order = sorted(range(len(margins)), key=lambda place: margins[place])
    ordered = [shares[place].item() for place in order]
    assert ordered == sorted(ordered, reverse=spread < 0)
    assert all((shares[a] == shares[b]) for a in order for b in order if margins[a] == margins[b])


@pytest.mark.parametrize("threat", [Threat(0.1), Threat(0.4, "l2")])
def test_each_image_moves_by_its_share_of_the_budget(threat: Threat) -> None:
    torch.manual_seed(0)
    model, images = linear_model(8, 1, 8), 0.4 + 0.2 * torch.rand(3, 1, 8, 8)
    shares = torch.tensor([0.0, 0.5, 2.0])
    crafted = FIRM.craft(model, images, lambda codes: codes.sum(1), threat, shares)
    size = (crafted - images).flatten(1)
    found = size.abs().amax(1) if threat.norm == "linf" else size.norm(dim=1)
    torch.testing.assert_close(found, shares * threat.eps, atol=1e-5, rtol=0)


def test_shares_of_one_change_nothing() -> None:
    model, images = linear_model(8, 1, 8), torch.rand(5, 1, 8, 8)
    found = []
    for shares in (None, torch.ones(5)):
        torch.manual_seed(1)
        found.append(FIRM.craft(model, images, lambda codes: codes.sum(1), Threat(0.1), shares))
    torch.testing.assert_close(*found)


def loss_of(model: HashModel, train: ImageSet, spread: float) -> GuidedLoss:
    guided = Guided(encode(model, train), train.labels, center_code)
    method = csq(encode(model, train), train.labels)
    margins = Margins(train.labels, spread)
    return GuidedLoss(model, method, guided, Threat(0.1), FIRM, 2.0, None, "joint", Regularisers(), None, margins)


def test_margins_are_the_agreements_of_the_last_attacked_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    model, train, index = small_model(), random_images(20), torch.tensor([3, 8, 11, 4])
    assert isinstance(train.images, torch.Tensor)
    loss = loss_of(model, train, 0.5)
    kept: list[tuple[torch.Tensor, torch.Tensor]] = []
    craft = InnerAttack.craft

    def watched(self: InnerAttack, *words: Any) -> torch.Tensor:
        found = craft(self, *words)
        kept.append((words[-1], found))
        return found

    monkeypatch.setattr(InnerAttack, "craft", watched)
    with torch.no_grad():
        model.eval()
        loss(train.images[index], train.labels[index], index)
    (shares, adversarial), margins = kept[0], loss.margins
    assert margins is not None
    torch.testing.assert_close(shares, torch.ones(4), msg="nothing is known before the first attack")
    with torch.no_grad():
        wanted = agreement(model(adversarial), center_code(loss.guided.memory, train.labels, train.labels[index]))
    torch.testing.assert_close(margins.values[index], wanted)
    assert (margins.values != 0).sum() == 4
    torch.testing.assert_close(margins.shares(index), budget_shares(wanted, 0.5))


def test_mixed_images_say_nothing_of_those_of_the_training_set(monkeypatch: pytest.MonkeyPatch) -> None:
    train, index = random_images(8), torch.arange(4)
    loss = replace(loss_of(small_model(), train, 0.5), regularisers=Regularisers(cutmix=1.0))
    assert isinstance(train.images, torch.Tensor)
    mix = Mix(train.images[index], torch.tensor([1, 0, 3, 2]), 0.5)
    monkeypatch.setattr("hashbench.training.mixing.mixed_batch", lambda *_: mix)
    loss(train.images[index], train.labels[index], index)
    assert loss.margins is not None
    assert not loss.margins.values.any()


def test_random_weights_are_those_of_a_network_made_anew() -> None:
    model = small_model()
    before = copy.deepcopy(model.state_dict())
    torch.manual_seed(7)
    fresh = with_random_weights(model).state_dict()
    torch.manual_seed(7)
    again = with_random_weights(model).state_dict()
    assert all(torch.equal(value, again[name]) for name, value in fresh.items())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    weights = [name for name in fresh if name.endswith("weight") and fresh[name].dim() > 1]
    assert weights
    assert not any(torch.equal(fresh[name], before[name]) for name in weights)
    assert all((value == 0).all() for name, value in fresh.items() if name.endswith("running_mean"))


class Scale(nn.Module):
    """A layer that doesn't say how its weight is drawn."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.ones(()))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.factor * images


def test_a_layer_that_can_t_be_drawn_anew_is_named() -> None:
    model, train = small_model(), random_images(8)
    odd = HashModel(nn.Sequential(Scale(), model.network), model.bits)
    with pytest.raises(BadParameter, match="cold=true: the network's Scale has no reset_parameters; leave out cold"):
        guided_training(
            odd, train, csq(encode(odd, train), train.labels), Threat(0.1), center_code, recipe=Recipe(epochs=1),
            inner=FIRM, weight=1.0, name="cgat", regularisers=Regularisers(cold=True),
        )  # fmt: skip
