"""The classification networks of torchvision, with their last layer replaced by a hash layer."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, TypeVar

import torch
from torch import Tensor, nn

from hashbench.digests import file_digest
from hashbench.errors import BadInput, BadParameter, MissingData
from hashbench.models.layers import Channels, Normalise, last_linear
from hashbench.models.weight_files import load_strictly, read_tensors
from hashbench.registry.decorators import backbone
from hashbench.registry.downloads import check_download
from hashbench.registry.parameters import ContentFile
from hashbench.registry.protocols import Backbone

Weights = Annotated[str, ContentFile(("default", "none"))]
IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])  # mean and standard deviation of each channel
SIDE = 224  # pixels, the size these networks are made for
Drawn = TypeVar("Drawn", nn.Linear, nn.Conv2d)
SPREAD = 0.01  # standard deviation of the hash layer's initial weights, as published
PAPERS = {
    "alexnet": "Krizhevsky, arXiv 1404.5997",
    **dict.fromkeys(
        [f"vgg{depth}{norm}" for depth in (11, 13, 16, 19) for norm in ("", "_bn")],
        "Simonyan and Zisserman, ICLR 2015",
    ),
    **dict.fromkeys([f"resnet{depth}" for depth in (18, 34, 50, 101, 152)], "He et al., CVPR 2016"),
    "densenet161": "Huang et al., CVPR 2017",
    "vit_b_16": "Dosovitskiy et al., ICLR 2021",
}


def _register(name: str, paper: str) -> None:
    def build(bits: int, channels: int, size: int, *, weights: Weights = "default") -> nn.Module:
        return hash_network(name, bits, channels, size, weights)

    build.__name__ = name
    build.__doc__ = (
        f"torchvision's {name} with a hash layer as its last layer, for images of {SIDE} pixels.\n\n"
        "Published models start from ImageNet and are fine-tuned with\n"
        "--training optimiser=sgd,schedule=thirds,weight_decay=5e-4,epochs=100."
    )
    typed: Backbone = build
    backbone(name, paper=paper, needs=lambda weights: needed(name, weights))(typed)


for _name, _paper in PAPERS.items():
    _register(_name, _paper)


@backbone("torchvision", needs=lambda model, weights: needed(model, weights))
def torchvision(
    bits: int, channels: int, size: int, *, model: str = "convnext_tiny", weights: Weights = "default"
) -> nn.Module:
    """Any other classification network of torchvision with a hash layer as its last layer.

    Args:
        model: torchvision's name of the network.
        weights: default (ImageNet, the first version of torchvision's), none (random), or a file.
    """
    return hash_network(model, bits, channels, size, weights)


def hash_network(name: str, bits: int, channels: int, size: int, weights: str) -> nn.Module:
    """A network from pixels in [0, 1] to logits; pixels are normalised inside.

    The hash layer's weights are drawn from N(0, 0.01^2) and its bias is 0. A file of weights holds those of
    torchvision's network with any number of classes; its last layer is not used.

    Raises:
        BadParameter: torchvision has no such network, or the network does not take such images.
        MissingData: the ImageNet weights are missing and can't be downloaded.
        BadInput: the file of weights is damaged, not the one that its name says, or belongs to another network.
    """
    network = _untrained(name, size)
    adapted = nn.Sequential(Channels(channels), Normalise(*IMAGENET), network)
    if size != SIDE:
        check_images(adapted, name, channels, size)
    path, last = last_linear(network)
    if weights != "none":
        source = imagenet_file(name) if weights == "default" else Path(weights).expanduser()
        _load(network, read_tensors(source), path, f"weights={weights}" if weights != "default" else str(source))
    network.set_submodule(path, hash_layer(last.in_features, bits))
    return adapted


def hash_layer(inputs: int, bits: int) -> nn.Linear:
    """A layer of `bits` logits, drawn as published."""
    return as_published(nn.Linear(inputs, bits))


def as_published(layer: Drawn) -> Drawn:
    """A layer with weights drawn from N(0, 0.01^2) and a bias of 0, in place."""
    nn.init.normal_(layer.weight, std=SPREAD)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def imagenet_file(name: str) -> Path:
    """The file of a network's ImageNet weights in torch's cache, downloaded if necessary.

    It holds torchvision's first version, which the papers used, even if there is a newer one.

    Raises:
        MissingData: it can't be downloaded, or must not be; the message says which file to put where.
        BadInput: its content is not that whose SHA-256 its name begins with.
    """
    url, path = imagenet_place(name)
    checked = re.search(r"-([a-f0-9]{8,16})[a-f0-9]*\.", path.name)
    if path.is_file():
        found = file_digest(path)
        if checked and not found.startswith(checked[1]):
            raise BadInput(
                f"{path} holds other weights than its name says, its SHA-256 begins with {found[:8]}; delete it and "
                f"start again to download it, or put {url} in its place"
            )
        return path
    check_download(f"the file of {name}'s ImageNet weights", f"put {url} at {path}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path), checked and checked[1], progress=False)
    except (OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:60]
        raise MissingData(
            f"the ImageNet weights of {name} can't be downloaded ({reason}); put {url} at {path}, or choose "
            f"{name}:weights=none or {name}:weights=FILE"
        ) from None
    return path


def imagenet_place(name: str) -> tuple[str, Path]:
    """The URL of a network's ImageNet weights, and the file that caches them.

    Raises:
        BadParameter: torchvision has no such network, or no ImageNet weights for it.
    """
    from torchvision.models import get_model_weights

    try:
        url = str(get_model_weights(name)["IMAGENET1K_V1"].url)
    except (KeyError, ValueError):
        raise BadParameter(
            f"torchvision has no ImageNet weights of {name!r}; choose weights=none or weights=FILE"
        ) from None
    return url, Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[-1]


def needed(name: str, weights: str) -> str:
    """What has to be downloaded for a choice of weights; empty if nothing.

    >>> needed("alexnet", "none")
    ''
    """
    if weights != "default":
        return ""
    url, path = imagenet_place(name)
    return "" if path.is_file() else f"{url} at {path} (downloaded at first use)"


def _untrained(name: str, size: int) -> nn.Module:
    from torchvision import models

    if name not in models.list_models(module=models):
        raise BadParameter(f"torchvision has no classification network {name!r}; see torchvision.models.list_models")
    if name in ("googlenet", "inception_v3"):
        raise BadParameter(f"{name} has auxiliary classifiers, which hashing does not use; choose another network")
    if name.startswith("vit_") and size != SIDE:
        raise BadParameter(f"{name} takes images of {SIDE} pixels, not {size}; choose another backbone")
    network: nn.Module = models.get_model(name, weights=None)
    return network


def _load(network: nn.Module, tensors: dict[str, Tensor], last: str, source: str) -> None:
    """Load a classifier's tensors into a network, except those of the last layer."""
    kept = {new_name(n): t for n, t in tensors.items() if not n.startswith(f"{last}.")}
    own = {n: t for n, t in network.state_dict().items() if n.startswith(f"{last}.")}
    load_strictly(network, {**kept, **own}, source)


def new_name(name: str) -> str:
    """A tensor's name as torchvision writes it today: old files of DenseNet have one more dot.

    >>> new_name("denselayer1.norm.1.weight")
    'denselayer1.norm1.weight'
    """
    return re.sub(r"(denselayer\d+\.(?:norm|conv))\.([12])\.", r"\1\2.", name)


def check_images(network: nn.Module, name: str, channels: int, size: int) -> None:
    """Try a network on one image.

    Raises:
        BadParameter: it does not take images of this size.
    """
    network.eval()
    try:
        with torch.no_grad():
            network(torch.zeros(1, channels, size, size))
    except (RuntimeError, AssertionError):
        raise BadParameter(
            f"{name} does not take images of {size} pixels; choose another backbone, such as cnn"
        ) from None
    finally:
        network.train()
