"""What bounds need to know of each layer: how it maps a point, how far it spreads a box, how it maps slopes back.

A layer is affine, a ReLU, a max pool or a sum. Affine ones carry a map of points, the map of radii, in which
each weight is replaced by its absolute value and the bias is left out, and, where that is cheaper than automatic
differentiation, the transposed map.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.grad import conv2d_input

from hashbench.certification.refusal import NoCertificate
from hashbench.models.layers import Channels, Normalise
from hashbench.models.quick_pooling import QuickMaxPool2d

Map = Callable[[Tensor], Tensor]
Statistics = Mapping[nn.Module, tuple[Tensor, Tensor]]  # mean and variance [channels] in place of a norm's own


@dataclass(frozen=True)
class Affine:
    """x -> W x + b, row by row of a batch.

    Attributes:
        apply: the map itself.
        spread: radius -> |W| radius.
        back: (coefficients of the outputs, shape of an input) -> coefficients of the inputs; None: by autograd.
    """

    apply: Map
    spread: Map
    back: Callable[[Tensor, torch.Size], Tensor] | None = None


@dataclass(frozen=True)
class Relu:
    """max(x, 0)."""


@dataclass(frozen=True)
class MaxPool:
    """Maxima over windows."""

    module: nn.MaxPool2d

    def pool(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Maxima [n, channels, height, width] and their flat places in each input plane."""
        module = self.module
        window = module.kernel_size, module.stride, module.padding, module.dilation, module.ceil_mode
        values, places = functional.max_pool2d(images, *window, return_indices=True)
        return values, places

    def windows(self, images: Tensor) -> Tensor:
        """The entries of each window [n, channels, entries, windows], minus infinity where it reaches over an edge."""
        module = self.module
        kernel, stride, padding, dilation = (
            _pair(value) for value in (module.kernel_size, module.stride, module.padding, module.dilation)
        )
        padded = functional.pad(images, (padding[1], padding[1], padding[0], padding[0]), value=-torch.inf)
        height, width = padded.shape[2:]
        found: Tensor = functional.unfold(padded.reshape(-1, 1, height, width), kernel, dilation, 0, stride)
        return found.reshape(*images.shape[:2], *found.shape[1:])


@dataclass(frozen=True)
class Sum:
    """The sum of two layers' outputs."""


Layer = Affine | Relu | MaxPool | Sum


def of_module(module: nn.Module, statistics: Statistics) -> Layer:
    """A module as a layer with its current weights; gradients flow to them.

    Args:
        statistics: means and variances that norms use in place of their running ones.

    Raises:
        NoCertificate: there is no rule for its type.
    """
    if type(module) not in _MODULES:
        raise NoCertificate(
            f"no bounds are known for a layer of type {type(module).__name__}; a certificate needs convolutions, "
            "linear layers, batch norms, ReLUs and pools"
        )
    return _MODULES[type(module)](module, statistics)


def of_function(target: Any, arguments: tuple[Any, ...], keywords: Mapping[str, Any]) -> Layer:
    """A function or a tensor method as a layer.

    Args:
        target: the function, or the method's name.
        arguments: what it is called with behind the tensor, or behind both tensors of a sum.

    Raises:
        NoCertificate: there is no rule for it.
    """
    if target in _RELUS:
        return Relu()
    if target in _SUMS and not arguments and not keywords:
        return Sum()
    if target not in _AVERAGES or not _AVERAGES[target](arguments, dict(keywords)):
        name = target if isinstance(target, str) else getattr(target, "__name__", str(target))
        raise NoCertificate(f"no bounds are known for the function {name} as it is called; build it from layers")

    def apply(images: Tensor) -> Tensor:
        call = getattr(Tensor, target) if isinstance(target, str) else target
        found: Tensor = call(images, *arguments, **keywords)
        return found

    return Affine(apply, apply)


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def _conv(module: Any, statistics: Statistics) -> Layer:
    if module.padding_mode != "zeros":
        raise NoCertificate(f"no bounds are known for a convolution with padding_mode={module.padding_mode}; use zeros")
    rest = module.stride, module.padding, module.dilation, module.groups

    def back(slopes: Tensor, shape: torch.Size) -> Tensor:
        size = (len(slopes), *shape)
        found: Tensor = conv2d_input(size, module.weight, slopes, *rest)  # type: ignore[no-untyped-call]
        return found

    return Affine(
        lambda images: functional.conv2d(images, module.weight, module.bias, *rest),
        lambda radii: functional.conv2d(radii, module.weight.abs(), None, *rest),
        None if isinstance(module.padding, str) else back,
    )


def _linear(module: Any, statistics: Statistics) -> Layer:
    return Affine(
        lambda rows: functional.linear(rows, module.weight, module.bias),
        lambda radii: functional.linear(radii, module.weight.abs()),
        lambda slopes, shape: slopes @ module.weight,
    )


def _norm(module: Any, statistics: Statistics) -> Layer:
    if module not in statistics and module.running_mean is None:
        raise NoCertificate(f"{type(module).__name__} keeps no running statistics; set track_running_stats=True")
    mean, variance = statistics.get(module, (module.running_mean, module.running_var))
    scale = (variance + module.eps).rsqrt()
    scale = scale if module.weight is None else scale * module.weight
    shift = -mean * scale if module.bias is None else module.bias - mean * scale

    def broad(values: Tensor, images: Tensor) -> Tensor:
        return values.reshape(1, -1, *[1] * (images.dim() - 2))

    return Affine(
        lambda images: images * broad(scale, images) + broad(shift, images),
        lambda radii: radii * broad(scale.abs(), radii),
        lambda slopes, shape: slopes * broad(scale, slopes),
    )


def _normalise(module: Any, statistics: Statistics) -> Layer:
    return Affine(
        lambda images: (images - module.mean) / module.std,
        lambda radii: radii / module.std.abs(),
        lambda slopes, shape: slopes / module.std,
    )


def _average(module: nn.Module, statistics: Statistics) -> Layer:
    """A layer without a bias whose weights are not negative: it spreads a box as it maps a point."""
    return Affine(module.forward, module.forward)


def _identity(module: nn.Module, statistics: Statistics) -> Layer:
    def same(images: Tensor) -> Tensor:
        return images

    return Affine(same, same, lambda slopes, shape: slopes)


def _relu(module: nn.Module, statistics: Statistics) -> Layer:
    return Relu()


def _max_pool(module: Any, statistics: Statistics) -> Layer:
    if module.return_indices:
        raise NoCertificate(f"no bounds are known for a {type(module).__name__} that returns places; leave them out")
    return MaxPool(module)


_MODULES: dict[type[nn.Module], Callable[[Any, Statistics], Layer]] = {
    nn.Conv2d: _conv,
    nn.Linear: _linear,
    nn.BatchNorm1d: _norm,
    nn.BatchNorm2d: _norm,
    nn.ReLU: _relu,
    nn.MaxPool2d: _max_pool,
    QuickMaxPool2d: _max_pool,
    nn.AvgPool2d: _average,
    nn.AdaptiveAvgPool2d: _average,
    nn.Flatten: _average,
    Channels: _average,
    Normalise: _normalise,
    nn.Dropout: _identity,
    nn.Dropout2d: _identity,
    nn.Identity: _identity,
}
_RELUS: set[Any] = {torch.relu, torch.relu_, functional.relu, functional.relu_, "relu", "relu_"}
_SUMS: set[Any] = {operator.add, operator.iadd, torch.add, "add", "add_"}


def _pads_zeros(arguments: tuple[Any, ...], keywords: dict[str, Any]) -> bool:
    named = dict(zip(("pad", "mode", "value"), arguments, strict=False)) | keywords
    return named.get("mode", "constant") == "constant" and not named.get("value")


def _keeps_batch(arguments: tuple[Any, ...], keywords: dict[str, Any]) -> bool:
    """Whether an index leaves the first axis alone."""
    index = arguments[0]
    return isinstance(index, tuple) and index[0] == slice(None) and all(isinstance(part, slice) for part in index)


def _always(arguments: tuple[Any, ...], keywords: dict[str, Any]) -> bool:
    return True


# Functions without a bias whose weights are not negative, each with a test of how it is called.
_AVERAGES: dict[Any, Callable[[tuple[Any, ...], dict[str, Any]], bool]] = {
    torch.flatten: _always,
    "flatten": _always,
    functional.avg_pool2d: _always,
    functional.adaptive_avg_pool2d: _always,
    functional.pad: _pads_zeros,
    operator.getitem: _keeps_batch,
}
