"""What is called beside the layers: a model whose hooks or methods may change its codes gets no certificate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook

from hashbench.certification.bounds import logit_bounds
from hashbench.certification.graph import trace
from hashbench.certification.refusal import NoCertificate
from hashbench.models.model import HashModel
from hashbench.models.pass_counter import Passes, counted

EPS, IMAGES = 0.1, torch.full((1, 1, 1, 1), 0.5)


def two() -> HashModel:
    """A linear layer in a block, behind a flattening."""
    layer = nn.Linear(1, 1)
    nn.init.ones_(layer.weight)
    nn.init.zeros_(layer.bias)
    return HashModel(nn.Sequential(nn.Sequential(nn.Flatten(), layer)), 1)


def steep(values: Tensor) -> Tensor:
    """The same where the clean image is, and beyond it another sign."""
    return values - 1000 * (values - 0.51).clamp(min=0)


def see_tensors(module: nn.Module, inputs: Any, output: Any) -> Tensor | None:
    return steep(output) if isinstance(output, Tensor) else None


class Called(nn.Sequential):
    """A network whose call is not its forward pass."""

    def __call__(self, images: Tensor) -> Tensor:
        return steep(super().__call__(images))


def hooked(name: str) -> HashModel:
    model = two()
    model.get_submodule(name).register_forward_hook(see_tensors)
    return model


def hooked_before() -> HashModel:
    model = two()
    model.get_submodule("network.0.1").register_forward_pre_hook(lambda module, inputs: (steep(inputs[0]),))
    return model


def replaced(name: str, method: str = "forward") -> HashModel:
    model = two()
    module = model.get_submodule(name)
    original = getattr(module, method)
    vars(module)[method] = lambda images: steep(original(images))
    return model


def normed() -> HashModel:
    model = two()
    nn.utils.parametrizations.weight_norm(model.get_submodule("network.0.1"))
    return model


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: hooked("network.0.1"), "the layer 0.1, a Linear, has a hook"),
        (hooked_before, "the layer 0.1, a Linear, has a hook"),
        (lambda: hooked("network.0"), "the layer 0, a Sequential, has a hook"),
        (lambda: hooked("network"), "the network, a Sequential, has a hook"),
        (lambda: hooked(""), "the model, a HashModel, has a hook"),
        (lambda: replaced("network.0.1"), "the layer 0.1, a Linear, has a forward of its own"),
        (lambda: replaced("network.0.1", "_call_impl"), "has a _call_impl of its own"),
        (lambda: replaced("network.0"), "can't be traced"),  # it is looked into
        (lambda: replaced("network"), "the network, a Sequential, has a forward of its own"),
        (lambda: replaced("", "logits"), "a model with a logits of its own"),
        (lambda: HashModel(Called(*two().network.children()), 1), "the network, a Called, has a __call__ of its own"),
        (normed, "uses its tensor"),
    ],
    ids=[
        "layer", "layer before", "block", "network", "model", "forward", "call", "block's forward",
        "network's forward", "logits", "network's call", "parametrized",
    ],
)  # fmt: skip
def test_a_model_that_is_more_than_its_layers_gets_no_certificate(make: Callable[[], HashModel], words: str) -> None:
    model = make().eval()
    if words != "uses its tensor":  # bounds of the layers alone would not hold
        assert (model.logits(IMAGES) > 0).all() != (model(IMAGES + EPS) > 0).all() or "logits" in words
    with pytest.raises(NoCertificate, match=words) as refusal:
        logit_bounds(model, IMAGES, EPS)
    assert "\n" not in str(refusal.value)


def test_hooks_on_every_module_are_refused_while_they_are_there() -> None:
    handle = register_module_forward_hook(lambda *_: None)
    try:
        with pytest.raises(NoCertificate, match="a hook on every module; remove it"):
            logit_bounds(two(), IMAGES, EPS)
    finally:
        handle.remove()
    assert logit_bounds(two(), IMAGES, EPS).fixed.all()


def test_a_training_that_counts_its_passes_can_be_traced() -> None:
    model = two()
    with counted(model, Passes()):
        assert len(trace(model.network)) == 3
        with pytest.raises(NoCertificate, match="the network, a Sequential, has a hook"):
            logit_bounds(model, IMAGES, EPS)
