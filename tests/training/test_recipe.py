"""Optimisers and schedules against the rates that the published scripts run with."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from toys import random_images, small_model

from hashbench.methods.greedyhash import SignClassifier
from hashbench.training.loop import fit
from hashbench.training.recipe import Recipe, drop_steps


def rates(recipe: Recipe, steps: int) -> list[float]:
    weight = nn.Parameter(torch.zeros(1))
    optimiser, schedule = recipe.build([weight], steps)
    found = []
    for _ in range(recipe.epochs * steps):
        weight.grad = torch.ones(1)
        found.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step()
    return found


@pytest.mark.parametrize(("epochs", "drops"), [(100, [34, 67]), (50, [17, 33, 49])])
def test_thirds_drop_the_rate_where_the_published_code_does(epochs: int, drops: list[int]) -> None:
    found = rates(Recipe(epochs, 0.01, optimiser="sgd", schedule="thirds"), steps=2)
    wanted = [0.01 * 0.1 ** sum(epoch >= drop for drop in drops) for epoch in range(epochs) for _ in range(2)]
    assert found == pytest.approx(wanted)


def test_halves_drop_at_one_half_and_three_quarters() -> None:
    assert rates(Recipe(4, 0.01, optimiser="sgd", schedule="halves"), 10) == pytest.approx(
        [0.01] * 20 + [0.001] * 10 + [0.0001] * 10
    )
    assert drop_steps("halves", 1, 5) == [3, 4]  # a half-integer drop comes at the next step


def test_one_step_of_sgd_is_the_published_one() -> None:
    weight = nn.Parameter(torch.tensor([2.0]))
    optimiser, _ = Recipe(1, 0.01, 32, "sgd", "halves", 0.9, 5e-4).build([weight], 10)
    weight.grad = torch.tensor([3.0])
    optimiser.step()
    assert weight.item() == pytest.approx(2 - 0.01 * (3 + 5e-4 * 2))


def test_one_cycle_ends_near_zero() -> None:
    found = rates(Recipe(5, 0.01), 10)
    assert max(found) == pytest.approx(0.01)
    assert found[-1] < 1e-6


@pytest.mark.parametrize("recipe", [Recipe(2, 0.01, 16), Recipe(2, 0.01, 16, "sgd", "thirds")])
def test_weights_of_a_method_are_trained_with_the_model(recipe: Recipe) -> None:
    model, train = small_model(), random_images(32)
    method = SignClassifier(torch.zeros(4, 12), 0.1)
    before = model.network.state_dict()["0.weight"].clone()
    fit(
        model,
        train,
        method,
        lambda images, labels, index: method(model(images), labels, index),
        recipe,
    )
    assert method.weight.abs().min() > 0
    assert not torch.equal(model.network.state_dict()["0.weight"], before)
