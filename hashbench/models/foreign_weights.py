"""State dicts of published code, with their tensors renamed as in torchvision or timm.

As found in the code of CgAT, SAAT and DeepHash-pytorch: AlexNet and VGG keep torchvision's names or call their
classifier `hash_layer`; ResNet and DenseNet have a `hash_layer` and list their other layers a second time as
`feature_layers`; DenseNet also contains the unused ImageNet classifier. ImageNet weights of EfficientNet-PyTorch number
their blocks through, where timm numbers them stage by stage.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence, Set

import torch
from torch import Tensor

from hashbench.errors import BadInput
from hashbench.models.weight_files import listed

PREFIXES = ("module.", "model.")  # of DataParallel, and of a network inside a method
RESNET_PARTS = {0: "conv1", 1: "bn1", 4: "layer1", 5: "layer2", 6: "layer3", 7: "layer4"}
OTHER_PARTS = {0: "features", 1: "classifier"}
EFFICIENTNET_ENDS = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
_EXCITATION = {"_se_reduce": "se.conv_reduce", "_se_expand": "se.conv_expand"}
NARROW_BLOCK = {
    "_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2", **_EXCITATION,
}  # fmt: skip
WIDE_BLOCK = {
    "_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2", "_project_conv": "conv_pwl",
    "_bn2": "bn3", **_EXCITATION,
}  # fmt: skip


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


def efficientnet_names(tensors: Mapping[str, Tensor], wanted: Iterable[str]) -> dict[str, Tensor]:
    """Tensors of EfficientNet-PyTorch and of its Lite version under timm's names; others as they are.

    Args:
        wanted: the tensor names of timm's network.
    """
    plain = without_prefix(tensors)
    if "_conv_stem.weight" not in plain:
        return plain
    places = [name for name in wanted if re.fullmatch(r"blocks\.\d+\.\d+\.bn1\.weight", name)]
    blocks = [name.removesuffix(".bn1.weight") for name in places]  # timm numbers them stage by stage
    widening = {name.split(".")[1] for name in plain if "._expand_conv." in name}
    return {efficientnet_name(name, blocks, widening): tensor for name, tensor in plain.items()}


def efficientnet_name(name: str, blocks: Sequence[str], widening: Set[str]) -> str:
    """A tensor's name in timm's EfficientNet.

    Args:
        blocks: timm's names of the blocks, in their order.
        widening: numbers of the blocks that begin by widening their input.

    >>> efficientnet_name("_blocks.1._bn0.weight", ["blocks.0.0", "blocks.1.0"], {"1"})
    'blocks.1.0.bn1.weight'
    """
    found = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(.+)", name)
    if not found:
        layer, _, rest = name.partition(".")
        return f"{EFFICIENTNET_ENDS.get(layer, layer)}.{rest}"
    number, layer, rest = found.groups()
    names = WIDE_BLOCK if number in widening else NARROW_BLOCK
    place = blocks[int(number)] if int(number) < len(blocks) else f"blocks.{number}"
    return f"{place}.{names.get(layer, layer)}.{rest}"


def without_prefix(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors without the known prefixes that all their names share."""
    for prefix in PREFIXES:
        if tensors and all(name.startswith(prefix) for name in tensors):
            return without_prefix({name.removeprefix(prefix): tensor for name, tensor in tensors.items()})
    return dict(tensors)
