from __future__ import annotations

import numpy as np
import pytest
import torch
from toys import assert_near, golden, gradients, small_net

from hashbench.crafting.prototype_networks import CodeNet, code_net_loss, new_optimiser
from hashbench.defenses.atrdh import RandomTargets
from hashbench.methods.dph import dph

CHECKED = ("fc_w", "fc_b", "conv1_w", "conv2_w")
NAMES = ("conv1_w", "conv1_b", "conv2_w", "conv2_b", "fc_w", "fc_b")


def golden_step() -> dict[str, torch.Tensor]:
    return {key: torch.from_numpy(value) for key, value in golden("atrdh_step").items()}


def prototype_net(arrays: dict[str, torch.Tensor]) -> CodeNet:
    """The reference's two layers; our third one, which it lacks, is the identity."""
    net = CodeNet(6, 16, hidden=14, features=16)
    names = {"feature.0.weight": "w1", "feature.0.bias": "b1", "feature.2.weight": "w2", "feature.2.bias": "b2"}
    state = {ours: arrays[f"pnet_{theirs}"] for ours, theirs in names.items()}
    net.load_state_dict({**state, "code.weight": torch.eye(16), "code.bias": torch.zeros(16)})
    return net


def targeted(arrays: dict[str, torch.Tensor]) -> RandomTargets:
    found = RandomTargets(arrays["memory"], arrays["train_label"], 1e-4, 100, upper=True)
    found.signs.copy_(arrays["train_code"])
    found.net = prototype_net(arrays)
    found.optimiser, found.schedule = new_optimiser(found.net, 1e-4, 100)
    return found


def test_the_prototype_step_equals_the_reference() -> None:
    arrays = golden_step()
    part, targets = targeted(arrays), arrays["target_label_set"][arrays["select_index"]]
    codes = part.prototypes_of(targets, arrays["output_clean"], arrays["index"])
    assert torch.equal(codes, arrays["prototype_code"])
    assert torch.equal(part.signs, arrays["train_code_after"])
    net = prototype_net(arrays)
    loss = code_net_loss(net, targets, part.signs, arrays["train_label"], upper=True)
    assert_near(loss, arrays["loss_pnet"], 3e-7, 2e-5)
    slopes = gradients(loss, *net.feature.parameters())
    np.testing.assert_allclose([s.double().norm() for s in slopes], arrays["pnet_grad_norms"], rtol=2e-5)
    assert_near(slopes[2], arrays["pnet_grad_w2"], 3e-7, 2e-5)


@pytest.mark.parametrize("start", ["", "zeromem_"])
def test_one_step_equals_the_reference(start: str) -> None:
    """From the memory of a training, and from zeros, with which the released code starts."""
    arrays = golden_step()
    model, part = small_net(arrays), targeted(arrays)
    memory = torch.zeros_like(arrays["memory"]) if start else arrays["memory"]
    part.outputs.copy_(memory)
    method = dph(memory, arrays["train_label"], balance=False)
    relaxed, attacked = model(arrays["x"]), model(arrays["x_adv"])
    assert_near(attacked, arrays["output_adv"], 2e-6, 2e-5)
    regression = part.regression(attacked, relaxed, arrays["y"], arrays["index"])
    assert_near(regression, arrays[f"{start}loss_second_term"], 3e-7, 2e-5)
    loss = method(relaxed, arrays["y"], arrays["index"]) + regression
    assert_near(loss, arrays[f"{start}loss"], 3e-7, 2e-5)
    slopes = dict(zip(NAMES, gradients(loss, *model.parameters()), strict=True))
    np.testing.assert_allclose([s.double().norm() for s in slopes.values()], arrays[f"{start}grad_norms"], rtol=2e-5)
    for name in CHECKED if not start else CHECKED[:2]:
        assert_near(slopes[name], arrays[f"{start}grad_{name}"], 3e-7, 2e-5)
    if not start:
        assert_near(part.outputs, arrays["memory_after"], 3e-7, 2e-5)
