"""The adversarial perturbation of weights, AWP."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from toys import gradients, layers, linear_model, random_images, small_model

from hashbench.defenses.cgat import cgat
from hashbench.methods.csq import csq
from hashbench.models.codes import encode
from hashbench.models.model import HashModel
from hashbench.threat import Threat
from hashbench.training.recipe import Recipe
from hashbench.training.regularisers import Regularisers, passed, perturbed_weights


def test_perturbed_weights_stand_at_their_radius_up_the_gradient() -> None:
    model = linear_model(4, 1, 4)
    images = torch.rand(5, 1, 4, 4)
    loss = model(images).square().mean()
    weight = layers(model)[1].weight
    (slope,) = gradients(model(images).square().mean(), weight)
    moved = perturbed_weights(model, loss, 0.02)
    assert set(moved) == {"network.1.weight"}
    step = moved["network.1.weight"].detach() - weight.detach()
    torch.testing.assert_close(step.norm(), 0.02 * weight.detach().norm())
    torch.testing.assert_close(step / step.norm(), slope / slope.norm())
    assert passed(model, moved)(images).square().mean() > loss


def test_gradients_behind_a_perturbation_are_those_of_a_model_that_stands_there() -> None:
    model = small_model()
    images = torch.rand(6, 1, 8, 8)
    moved = perturbed_weights(model, model(images).square().mean(), 0.05)
    found = gradients(passed(model, moved)(images).square().mean(), *model.parameters())
    there = copy.deepcopy(model)
    there.load_state_dict(moved, strict=False)
    wanted = gradients(there(images).square().mean(), *there.parameters())
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other)


class WithSpare(nn.Module):
    """A network with a layer that it does not use."""

    def __init__(self) -> None:
        super().__init__()
        self.used, self.spare = small_model().network, nn.Linear(3, 3)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.used(images)
        return logits


def test_weights_that_a_network_does_not_use_stay_where_they_are() -> None:
    model, train = HashModel(WithSpare(), 12), random_images(40)
    moved = perturbed_weights(model, model(torch.rand(6, 1, 8, 8)).square().mean(), 0.05)
    assert set(moved) == {"network.used.0.weight", "network.used.5.weight"}
    method = csq(encode(model, train), train.labels)
    trained = cgat(model, train, method, Threat(0.1), recipe=Recipe(epochs=1), regularisers=Regularisers(awp=0.01))
    assert torch.equal(trained.state_dict()["network.spare.weight"], model.state_dict()["network.spare.weight"])
