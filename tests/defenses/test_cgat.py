from __future__ import annotations

import numpy as np
import pytest
import torch
from toys import assert_near, golden, gradients, layers, pixels, random_images, small_model, small_net

from hashbench.crafting.gradient_loop import descend
from hashbench.crafting.objectives import agreement
from hashbench.defenses.cgat import cgat
from hashbench.methods.csq import CentralSimilarity, csq, hash_centers
from hashbench.models.codes import center_code, encode
from hashbench.registry import entries
from hashbench.registry.protocols import Method
from hashbench.registry.spec import Spec
from hashbench.threat import Threat
from hashbench.training.adversarial import Guided, InnerAttack
from hashbench.training.guided import guided_loss
from hashbench.training.recipe import Recipe
from hashbench.types import Codes, Index, Labels, Scalar

NAMES = ("conv1_w", "conv1_b", "conv2_w", "conv2_b", "fc_w", "fc_b")


class PairwiseSquares(Method):
    """The DPH loss, written down independently: mean (u.M / K - (2 s - 1))^2 on a refreshed memory."""

    def __init__(self, memory: torch.Tensor, labels: torch.Tensor) -> None:
        super().__init__()
        self.memory, self.labels = memory.clone(), labels

    def forward(self, codes: Codes, labels: Labels, index: Index) -> Scalar:
        self.memory[index] = codes.detach()
        similar = torch.where(labels @ self.labels.T > 0, 1.0, -1.0)
        return ((codes @ self.memory.T / codes.shape[1] - similar) ** 2).mean()


def golden_step() -> dict[str, torch.Tensor]:
    return {key: torch.from_numpy(value) for key, value in golden("cgat_step").items()}


def test_the_inner_attack_equals_the_reference() -> None:
    arrays = golden_step()
    model = small_net(arrays)
    found, _ = descend(
        arrays["x"],
        arrays["x"],
        lambda images: (model(images) * arrays["center_before"]).mean(1),
        Threat(8 / 255),
        steps=7,
        step_size=lambda _: 2 / 255,
        keep_best=False,
    )
    torch.testing.assert_close(found, arrays["x_adv"], atol=2e-6, rtol=0)


def test_one_step_equals_the_reference() -> None:
    arrays = golden_step()
    model = small_net(arrays)
    method = PairwiseSquares(arrays["memory"], arrays["train_label"])
    guided = Guided(arrays["memory"], arrays["train_label"], center_code, relaxed=True)
    assert torch.equal(guided.codes(arrays["y"]), arrays["center_before"])
    clean, attacked = model(arrays["x"]), model(arrays["x_adv"])
    assert_near(clean, arrays["output_clean"], 2e-6, 2e-5)
    optimizer = torch.optim.SGD(model.parameters(), 0.01, 0.9, weight_decay=5e-4)
    loss = guided_loss(method, guided, clean, attacked, arrays["y"], arrays["index"], 1.0)
    slopes = dict(zip(NAMES, gradients(loss, *model.parameters()), strict=True))
    assert_near(loss, arrays["loss"], 3e-7, 2e-5)
    assert torch.equal(guided.codes(arrays["y"]), arrays["center_after"])
    assert_near(guided.memory, arrays["memory_after"], 3e-7, 2e-5)
    norms = [slope.double().norm() for slope in slopes.values()]
    np.testing.assert_allclose(norms, arrays["grad_norms"], rtol=2e-5)
    for name in ("fc_w", "fc_b", "conv1_w", "conv2_w"):
        assert_near(slopes[name], arrays[f"grad_{name}"], 3e-7, 2e-5)
    for weight, slope in zip(model.parameters(), slopes.values(), strict=True):
        weight.grad = slope
    optimizer.step()
    for weight, name in zip(model.parameters(), NAMES, strict=True):
        assert_near(weight, arrays[f"after_{name}"], 3e-7, 2e-5)


def test_the_memory_of_codes_is_the_intended_variant() -> None:
    """Binary rows make the centers that the paper describes."""
    arrays = golden_step()
    model = small_net(arrays)
    method = PairwiseSquares(arrays["memory"], arrays["train_label"])
    guided = Guided(arrays["memory"], arrays["train_label"], center_code)
    clean, attacked = model(arrays["x"]), model(arrays["x_adv"])
    loss = guided_loss(method, guided, clean, attacked, arrays["y"], arrays["index"], 1.0)
    assert torch.equal(guided.codes(arrays["y"]), arrays["center_after_unaliased"])
    adversarial_part = loss - arrays["loss_hash"]
    assert_near(adversarial_part, arrays["loss_adv_unaliased"], 3e-6, 2e-5)


@pytest.mark.parametrize("training", [True, False])
def test_the_inner_attack_keeps_the_mode_and_takes_no_weight_gradients(training: bool) -> None:
    model = small_model().train(training)
    images = pixels(random_images(4))
    statistics = layers(model)[1].running_mean.clone()
    found = InnerAttack(2, 0.25).craft(model, images, lambda codes: codes.mean(1), Threat(0.1))
    Threat(0.1).check(found, images)
    assert model.training is training
    assert torch.equal(layers(model)[1].running_mean, statistics)
    assert all(weight.grad is None and weight.requires_grad for weight in model.parameters())


@pytest.mark.parametrize("training", [True, False])
def test_the_official_inner_attack_runs_in_train_mode_and_moves_statistics(training: bool) -> None:
    model = small_model().train(training)
    images, seen = pixels(random_images(4)), list[bool]()
    statistics = layers(model)[1].running_mean.clone()

    def objective(codes: Codes) -> torch.Tensor:
        seen.append(model.training)
        return codes.mean(1)

    found = InnerAttack(2, 0.25, mode="train").craft(model, images, objective, Threat(0.1))
    Threat(0.1).check(found, images)
    assert seen == [True, True]
    assert model.training is training
    assert not torch.equal(layers(model)[1].running_mean, statistics)
    assert all(weight.grad is None and weight.requires_grad for weight in model.parameters())


@pytest.mark.parametrize("word", ["mode=train", "batches=apart"])
def test_official_ways_give_another_model_and_leave_names_of_rows_alone(word: str) -> None:
    train, model = random_images(40), small_model()
    plain, official = (entries.defenses.choose(Spec.parse(f"cgat:epochs=1{more}")) for more in ("", f",{word}"))
    assert set(plain.visible) == {"epochs", *plain.visible} - {"mode", "batches"}
    assert word.partition("=")[0] in official.visible
    found = []
    for choice in (plain, official):
        torch.manual_seed(0)
        method = csq(encode(model, train), train.labels)
        found.append(choice.call(model, train, method, Threat(0.2)).state_dict())
    assert any(not torch.equal(found[0][name], found[1][name]) for name in found[0])


def test_it_makes_a_model_more_robust_and_leaves_the_given_one_alone() -> None:
    torch.manual_seed(0)
    train, model = random_images(128), small_model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    centers = CentralSimilarity(torch.from_numpy(hash_centers(4, 12, 0)), torch.ones(12), 1e-4).targets(train.labels)
    method = csq(encode(model, train), train.labels)
    defended = cgat(model, train, method, Threat(0.2), recipe=Recipe(25, 0.01))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not defended.training
    hard, threat = InnerAttack(10, 0.2), Threat(0.2)
    attacked = []
    for victim in (model, defended):
        crafted = hard.craft(victim, pixels(train), lambda codes: agreement(codes, centers), threat)
        attacked.append(agreement(victim(crafted), centers).mean().item())
    assert attacked[1] > attacked[0] + 0.2
