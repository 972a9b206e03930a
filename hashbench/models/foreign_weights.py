"""State dicts of published hashing code, with their tensors renamed as in torchvision.

As found in the code of CgAT, SAAT and DeepHash-pytorch: AlexNet and VGG keep torchvision's names or call their
classifier `hash_layer`; ResNet and DenseNet have a `hash_layer` and list their other layers a second time as
`feature_layers`; DenseNet also contains the unused ImageNet classifier.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from hashbench.errors import BadInput
from hashbench.models.weight_files import listed

PREFIXES = ("module.", "model.")  # of DataParallel, and of a network inside a method
RESNET_PARTS = {0: "conv1", 1: "bn1", 4: "layer1", 5: "layer2", 6: "layer3", 7: "layer4"}
OTHER_PARTS = {0: "features", 1: "classifier"}


def torchvision_names(tensors: Mapping[str, Tensor], last: str, source: str) -> dict[str, Tensor]:
    """Tensors under torchvision's names; the hash layer gets the name of the last layer.

    Args:
        last: the last layer's name in torchvision's network, such as `fc` or `classifier.6`.
        source: the file, for messages.

    Raises:
        BadInput: two names stand for one tensor and their values differ.
    """
    plain = without_prefix(tensors)
    unused = "classifier." if last == "classifier" and "hash_layer.weight" in plain else None
    found: dict[str, Tensor] = {}
    origin: dict[str, str] = {}
    for name, tensor in plain.items():
        if unused and name.startswith(unused):
            continue
        new = torchvision_name(name, last)
        if new in found and not torch.equal(found[new], tensor):
            raise BadInput(f"{source}: {listed([origin[new], name])} stand for one layer and differ; save it again")
        found[new], origin[new] = tensor, name
    return found


def torchvision_name(name: str, last: str) -> str:
    """A tensor's name in torchvision's network.

    >>> torchvision_name("feature_layers.0.weight", "fc"), torchvision_name("hash_layer.weight", "fc")
    ('conv1.weight', 'fc.weight')
    """
    parts = RESNET_PARTS if last == "fc" else OTHER_PARTS
    rules = [(rf"^feature_layers\.{number}\.", f"{part}.") for number, part in parts.items()]
    rules += [
        (r"^hash_layer\.(weight|bias)$", rf"{last}.\1"),
        (r"^hash_layer\.(\d+)\.", r"classifier.\1."),
        (r"^classifier\.classifier(\d+)\.", r"classifier.\1."),
        (r"^cl1\.", "classifier.0."),
        (r"(denselayer\d+\.(?:norm|conv))\.([12])\.", r"\1\2."),
    ]
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name


def pools_without_relu(tensors: Mapping[str, Tensor]) -> bool:
    """Whether the tensors belong to the published DenseNet, which omits the ReLU before its pooling."""
    names = without_prefix(tensors)
    return "hash_layer.weight" in names and any(".denseblock1." in name for name in names)


def without_prefix(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors without the known prefixes that all their names share."""
    for prefix in PREFIXES:
        if tensors and all(name.startswith(prefix) for name in tensors):
            return without_prefix({name.removeprefix(prefix): tensor for name, tensor in tensors.items()})
    return dict(tensors)
