from __future__ import annotations

import numpy as np
import pytest
import torch
from toys import assert_near, golden, gradients, make_toy, small_model

from hashbench.crafting.prototype_networks import (
    CodeNet,
    PrototypeNet,
    circle_loss,
    code_net_loss,
    prototype_net_loss,
    quantisation,
    train_prototypes,
)
from hashbench.models.codes import encode
from hashbench.models.model import binarize

ARRAYS = golden("prototype")
DOUBLE = {
    key: torch.from_numpy(np.asarray(value)).double() for key, value in ARRAYS.items() if value.dtype.kind in "fi"
}
BATCH = (DOUBLE["target_label"], DOUBLE["train_code"], DOUBLE["train_label"])
LAYERS = ("feature.0", "feature.2", "code", "classifier")


def test_the_circle_loss_over_all_pairs_equals_the_reference() -> None:
    outputs = DOUBLE["g"].clone().requires_grad_()
    value = circle_loss(outputs, *BATCH)
    assert_near(value, ARRAYS["circle_all_value_f64"], 1e-11, 1e-9)
    assert_near(gradients(value, outputs)[0], ARRAYS["circle_all_grad_f64"], 1e-11, 1e-9)


def test_the_released_code_differs_by_the_pairs_that_it_drops() -> None:
    """Its objective, with our terms: the circle loss over the pairs (i, j > i), and the quantisation."""
    outputs = DOUBLE["g"].clone().requires_grad_()
    labels, codes, code_labels = BATCH
    seen = torch.triu(torch.ones(len(outputs), len(codes)), diagonal=1).bool()
    likeness = outputs @ codes.T / codes.shape[1]
    similar = labels @ code_labels.T > 0
    pull = (-(2 - likeness.detach()) * likeness)[similar & seen].logsumexp(0)
    push = ((2 + likeness.detach()) * likeness)[~similar & seen].logsumexp(0)
    value = (pull + push) / len(outputs) + quantisation(outputs)
    assert_near(value, ARRAYS["tha_net_loss_triu_value_f64"], 1e-11, 1e-9)
    assert_near(gradients(value, outputs)[0], ARRAYS["tha_net_loss_triu_grad_f64"], 1e-11, 1e-9)


def test_the_circle_loss_takes_batches_without_positive_pairs() -> None:
    outputs = DOUBLE["g"].clone().requires_grad_()
    value = circle_loss(outputs, torch.zeros_like(BATCH[0]), *BATCH[1:])
    assert torch.isfinite(value)
    assert torch.isfinite(gradients(value, outputs)[0]).all()


def filled(net: PrototypeNet, weights: dict[str, torch.Tensor]) -> PrototypeNet:
    net = net.double()
    net.load_state_dict(weights)
    return net


def formula(shape: tuple[int, ...], layer: int) -> torch.Tensor:
    """The reference's weights, made by a formula instead of shipped."""
    row = np.arange(1, shape[0] + 1, dtype=np.int64)[:, None]
    column = np.arange(1, (shape[1] if len(shape) == 2 else 1) + 1, dtype=np.int64)[None]
    mixed = 7919 * row * column + 104729 * row**2 + 1299709 * column**2 + 15485863 * (layer + int(ARRAYS["full_seed"]))
    values = ((mixed % 65537) / 65537 - 0.5) * ARRAYS["full_scales"][layer]
    return torch.from_numpy(values.astype(np.float32)).double().reshape(shape)


def small_and_full() -> dict[str, tuple[PrototypeNet, tuple[torch.Tensor, ...]]]:
    names = [f"{layer}.{part}" for layer in LAYERS for part in ("weight", "bias")]
    keys = ("small_w1", "small_b1", "small_w2", "small_b2", "small_wh", "small_bh", "small_wc", "small_bc")
    small = filled(
        PrototypeNet(7, 16, hidden=20, features=12), {n: DOUBLE[k] for n, k in zip(names, keys, strict=True)}
    )
    full = PrototypeNet(int(ARRAYS["full_C"]), int(ARRAYS["full_K"]))
    shapes = {name: tuple(weight.shape) for name, weight in full.named_parameters()}
    full = filled(full, {name: formula(shapes[name], layer) for layer, name in enumerate(names)})
    batch = (DOUBLE["full_target_label"], DOUBLE["full_train_code"], DOUBLE["full_train_label"])
    return {"small": (small, BATCH), "full": (full, batch)}


@pytest.mark.parametrize("size", ["small", "full"])
def test_the_prototype_net_of_pros_gan_equals_the_reference(size: str) -> None:
    net, batch = small_and_full()[size]
    features, codes, classes = net(batch[0])
    for found, name in ((features, "feature"), (codes, "hash"), (classes, "class")):
        assert_near(found, ARRAYS[f"{size}_{name}_f64"], 1e-11, 1e-9)
    loss = prototype_net_loss(net, *batch)
    assert_near(loss, ARRAYS[f"{size}_loss_f64"], 1e-11, 1e-9)
    weights = dict(net.named_parameters())
    ordered = [weights[f"{layer}.{part}"] for layer in LAYERS for part in ("weight", "bias")]
    norms = torch.stack([gradient.norm() for gradient in torch.autograd.grad(loss, ordered)])
    assert_near(norms, ARRAYS[f"{size}_grad_norms_f64"], 1e-11, 1e-9)


@pytest.mark.parametrize("case", ["main", "alt"])
def test_layer_shapes_equal_the_reference(case: str) -> None:
    classes, bits = int(ARRAYS[f"counts_{case}_C"]), int(ARRAYS[f"counts_{case}_K"])
    for net, name in ((PrototypeNet(classes, bits), "prototypenet"), (CodeNet(classes, bits), "tha_prototypenet")):
        wanted = [tuple(int(n) for n in row if n) for row in ARRAYS[f"counts_{case}_{name}_shapes"]]
        assert sorted(tuple(weight.shape) for weight in net.parameters()) == sorted(wanted)


def test_training_brings_prototypes_near_to_codes_of_their_labels() -> None:
    victim, _ = make_toy(small_model())
    memory = binarize(encode(victim.model, victim.train))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = CodeNet(4, 12, hidden=64, features=32)
        before = code_net_loss(net, victim.train.labels, memory, victim.train.labels).item()
        train_prototypes(
            net, code_net_loss, victim, memory, steps=60, batch_size=16, learning_rate=1e-2, name="prototypes"
        )
    after = code_net_loss(net, victim.train.labels, memory, victim.train.labels).item()
    assert after < before
