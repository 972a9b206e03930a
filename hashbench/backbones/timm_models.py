"""The networks of timm (PyTorch Image Models), with their last layer replaced by a hash layer."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from hashbench.backbones.torchvision_models import as_published, check_images, hash_layer
from hashbench.errors import BadParameter
from hashbench.models.foreign_weights import efficientnet_names
from hashbench.models.layers import Channels, Normalise
from hashbench.models.weight_files import load_strictly, read_tensors
from hashbench.registry.decorators import backbone
from hashbench.registry.parameters import ContentFile, suggestion

Weights = Annotated[str, ContentFile(("none",))]


@backbone("timm", paper="Wightman, PyTorch Image Models, 2019", needs=lambda name, weights: _lacking(name))
def timm(
    bits: int, channels: int, size: int, *, name: str = "efficientnet_lite0", weights: Weights = "none"
) -> nn.Module:
    """Any network of timm with a hash layer as its last layer, from random weights or from those of a file.

    Args:
        name: timm's name of the network; `timm.list_models()` has them all.
        weights: none (random), or a file with timm's tensors of this network with any number of classes, as
            safetensors or as a state dict of torch.save. Nothing is downloaded.

    Raises:
        BadParameter: timm is not installed or has no such network, or the network does not take such images.
        BadInput: the file of weights is damaged or belongs to another network.
    """
    network = _untrained(name, size)
    about: dict[str, Any] = dict(network.pretrained_cfg)  # type: ignore[arg-type]
    normalise = Normalise(about["mean"], about["std"], layout=torch.channels_last)
    adapted = nn.Sequential(Channels(channels), normalise, network)
    if size != about["input_size"][-1]:
        check_images(adapted, name, channels, size)
    last = _classifiers(network, name)
    if weights != "none":
        _load(network, read_tensors(Path(weights).expanduser()), last, f"weights={weights}")
    for path, layer in last.items():
        network.set_submodule(path, _hash_layer_like(layer, bits))
    return adapted


def _lacking(name: str) -> str:
    """What has to be installed for a network; empty if nothing."""
    if find_spec("timm") is not None:
        return ""
    return f"timm:name={name} needs timm, which is not installed; run pip install 'hashbench[timm]'"


def _untrained(name: str, size: int) -> nn.Module:
    if lacking := _lacking(name):
        raise BadParameter(lacking)
    from timm import create_model, is_model, list_models  # slow to import

    if not is_model(name):
        raise BadParameter(f"timm has no network {name!r}{suggestion(name, list_models())[:200]}")
    network: nn.Module = create_model(name, pretrained=False)
    about: dict[str, Any] = dict(network.pretrained_cfg)  # type: ignore[arg-type]
    if size == about["input_size"][-1] or not about.get("fixed_input_size"):
        return network
    try:
        return create_model(name, pretrained=False, img_size=size)
    except (TypeError, ValueError, AssertionError, RuntimeError):
        wanted = about["input_size"][-1]
        raise BadParameter(f"{name} takes images of {wanted} pixels, not {size}; choose another backbone") from None


def _classifiers(network: nn.Module, name: str) -> dict[str, nn.Module]:
    """The network's classifier by its name, or the two of a distilled network, whose mean is its output."""
    last = network.get_classifier()  # type: ignore[operator]
    wanted = last if isinstance(last, tuple | list) else (last,)
    found = {path: layer for path, layer in network.named_modules() if any(layer is one for one in wanted)}
    if len(found) != len(wanted) or not all(isinstance(layer, nn.Linear | nn.Conv2d) for layer in found.values()):
        raise BadParameter(f"{name} has no linear layer to replace by a hash layer; choose another network")
    return found


def _hash_layer_like(last: nn.Module, bits: int) -> nn.Module:
    """A hash layer in the place of a linear layer, or of a convolution of one pixel."""
    if isinstance(last, nn.Linear):
        return hash_layer(last.in_features, bits)
    return as_published(nn.Conv2d(int(last.in_channels), bits, 1))  # type: ignore[arg-type]


def _load(network: nn.Module, tensors: dict[str, Tensor], last: Iterable[str], source: str) -> None:
    """Load a classifier's tensors into a network, except those of its last layers."""
    own, ends = network.state_dict(), tuple(f"{path}." for path in last)
    kept = {name: t for name, t in efficientnet_names(tensors, own).items() if not name.startswith(ends)}
    load_strictly(network, {**kept, **{name: t for name, t in own.items() if name.startswith(ends)}}, source)
