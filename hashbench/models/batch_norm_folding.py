"""Batch norms folded into the preceding convolutions while a model is attacked: the same function in less time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from hashbench.models.layers import is_plain
from hashbench.models.model import HashModel
from hashbench.models.transformed import innermost
from hashbench.seeds import seeded

Pairs = tuple[tuple[nn.Conv2d, nn.BatchNorm2d], ...]

_known: WeakKeyDictionary[nn.Module, Pairs] = WeakKeyDictionary()


@contextmanager
def folded(model: HashModel) -> Iterator[None]:
    """Run a block with the batch norms of a frozen model folded into its convolutions.

    Codes and gradients with respect to pixels are the same up to rounding. The weights are restored afterwards,
    whatever the block does. What can't be folded is left alone: a norm in train mode, a norm that does not directly
    follow a convolution of its own, one of the two with a hook or a method of its own, and any network whose forward
    pass can't be traced.
    """
    network = innermost(model)
    pairs = [(conv, norm) for conv, norm in _pairs(network) if not norm.training and is_plain(conv) and is_plain(norm)]
    originals = [(conv, dict(conv._parameters)) for conv, _ in pairs]
    try:
        for conv, norm in pairs:
            conv._parameters.update(_merged(conv, norm))
            vars(norm)["forward"] = _unchanged
        yield
    finally:
        for conv, parameters in originals:
            conv._parameters.update(parameters)
        for _, norm in pairs:
            vars(norm).pop("forward", None)


def _unchanged(images: Tensor) -> Tensor:
    return images


def _merged(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> dict[str, nn.Parameter]:
    """Weight and bias of a convolution with the norm folded in."""
    mean, variance = norm.get_buffer("running_mean"), norm.get_buffer("running_var")
    with torch.no_grad():
        found = fuse_conv_bn_weights(conv.weight, conv.bias, mean, variance, norm.eps, norm.weight, norm.bias)
    return {
        name: nn.Parameter(value.detach(), requires_grad=False)
        for name, value in zip(("weight", "bias"), found, strict=True)
    }


def _pairs(network: nn.Module) -> Pairs:
    """The convolutions of a network whose only consumer is a batch norm, with that norm; found once per network."""
    if network not in _known:
        _known[network] = ()
        with suppress(Exception), seeded(0):  # a plugin's network may not be traceable
            _known[network] = _trace(network)
    return _known[network]


class _Tracer(fx.Tracer):
    """Traces into modules that have submodules; what happens inside the others does not matter here."""

    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        return next(module.children(), None) is None or super().is_leaf_module(module, name)


def _trace(network: nn.Module) -> Pairs:
    nodes = [node for node in _Tracer().trace(network).nodes if node.op == "call_module"]
    calls = [node.target for node in nodes]
    found: list[tuple[nn.Conv2d, nn.BatchNorm2d]] = []
    for node in nodes:
        before = node.args[0] if node.args else None
        if not (isinstance(before, fx.Node) and before.op == "call_module" and len(before.users) == 1):
            continue
        conv, norm = (network.get_submodule(str(called.target)) for called in (before, node))
        once = calls.count(node.target) == calls.count(before.target) == 1
        if type(conv) is nn.Conv2d and type(norm) is nn.BatchNorm2d and once:
            found += [(conv, norm)] if norm.running_mean is not None else []
    return tuple(found)
