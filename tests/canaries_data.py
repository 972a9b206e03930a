"""Canaries of data sets and backbones."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from canaries import Canary, Variant, of_entry
from canary_tools import Digits, projection, projections, steady, sum_and_projection
from small_files import write_cifar10, write_emoji, write_fashion, write_lists
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from hashbench.datasets.list_files import ORIGINS
from hashbench.models.data import RetrievalSplit
from hashbench.models.model import HashModel
from hashbench.registry import entries
from hashbench.registry.entries import Choice
from hashbench.registry.parameters import parameters
from hashbench.registry.spec import Spec

# Backbones that are cheap enough to be run, with their channels and sizes; others are built only.
RUN = {
    "cnn": ((1, 8), (3, 16), (1, 28), (3, 64)),
    "resnet20": ((1, 8), (3, 32)),
    "alexnet": ((3, 64),),
    "resnet18": ((3, 64), (1, 96)),
    "torchvision": ((3, 64),),
    "timm": ((3, 64),),
}
PARAMETERS = {"torchvision": {"model": "mobilenet_v3_small"}, "timm": {"name": "efficientnet_lite0"}}
BITS, SIDE = 16, 224
LARGE = 1 << 17  # weights of a tensor beyond which drawing them takes too long
DRAWING = ("normal_", "uniform_", "trunc_normal_", "kaiming_normal_", "kaiming_uniform_", "xavier_uniform_")


def backbone_canaries() -> list[Canary]:
    """One for each registered backbone, with random weights."""
    return [_backbone_canary(entry.name) for entry in entries.backbones]


def dataset_canaries() -> list[Canary]:
    """One for each registered data set; those whose files have to be fetched read small files of the same form."""
    return [
        of_entry(Variant(entries.datasets.choose(Spec(entry.name))), "dataset", _dataset_digits)
        for entry in entries.datasets
    ]


def _backbone_canary(name: str) -> Canary:
    known = {parameter.name for parameter in parameters(entries.backbones[name].function)}
    words = {**PARAMETERS.get(name, {}), **({"weights": "none"} if "weights" in known else {})}
    compute = _run if name in RUN else _built
    return of_entry(Variant(entries.backbones.choose(Spec(name, words))), "backbone", compute)


def _run(choice: Choice[Any]) -> Digits:
    """Logits of fixed images in training and in eval mode, in double precision."""
    found: Digits = {}
    for channels, size in RUN[choice.name]:
        with steady(), torch.no_grad():
            model = HashModel(choice.call(BITS, channels, size), BITS)
            images = torch.rand(4, channels, size, size)
            found[f"logits in training of {channels} x {size}"] = sum_and_projection(model.logits(images))
            logits = model.eval().logits(images)
        found[f"logits of {channels} x {size}"] = [float(logits.sum()), *projections(logits)]
        found[f"weights of {channels} x {size}"] = [sum(p.numel() for p in model.parameters())]
    return found


def _built(choice: Choice[Any]) -> Digits:
    """Number, names and shapes of the weights, and the values of all small tensors, the hash layer's among them."""
    with steady(), SmallDraws():
        network: nn.Module = choice.call(BITS, 3, SIDE)
    tensors = network.state_dict()
    shapes = str([(name, tuple(tensor.shape)) for name, tensor in tensors.items()])
    _, hash_layer = [module for module in network.named_modules() if isinstance(module[1], nn.Linear)][-1]
    small = [projection(tensor) for tensor in tensors.values() if tensor.numel() < 1 << 10]
    return {
        "weights": [sum(p.numel() for p in network.parameters())],
        "names and shapes": [_number(shapes)],
        "hash layer": [*sum_and_projection(hash_layer.weight), *sum_and_projection(hash_layer.bias)],
        "small tensors": [sum(small)],
    }


class SmallDraws(TorchFunctionMode):
    """Leaves large tensors as they are where they would be drawn: drawing a hundred million weights takes seconds."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        values = kwargs or {}
        drawn = args[0] if args else values.get("tensor")
        if getattr(func, "__name__", "") in DRAWING and isinstance(drawn, Tensor) and drawn.numel() > LARGE:
            return drawn
        return func(*args, **values)


def _dataset_digits(choice: Choice[Any]) -> Digits:
    """The split's digest, its sizes, budget and labels, and the first images of each role."""
    with steady(double=False), _at_hand(choice) as call:
        split: RetrievalSplit = call()
        roles = {"train": split.train, "queries": split.queries, "validation": split.validation}
        found: Digits = {"digest": [_number(split.digest)], "eps": [split.eps], "size": [split.channels, split.size]}
        if choice.name in ORIGINS:
            origin = ORIGINS[choice.name]
            found["published sizes"] = [origin.classes or 0, *origin.sizes.values()]
        for name, role in {**roles, "database": split.database}.items():
            first = role.images[torch.arange(min(20, len(role)))]
            found[name] = [len(role), *sum_and_projection(role.labels), *sum_and_projection(first)]
    return found


@contextmanager
def _at_hand(choice: Choice[Any]) -> Iterator[Callable[[], RetrievalSplit]]:
    """What loads the data set: from the installed packages, or from small files that stand in for those to fetch."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        values: dict[str, Any] = dict(choice.params)
        if "root" in values:
            values["root"] = root
        loading = Choice(choice.entry, values)
        if choice.name in ORIGINS:
            write_lists(root, classes=ORIGINS[choice.name].classes or 5)
            with mock.patch.dict(ORIGINS[choice.name].sizes, {}, clear=True):
                yield loading.call
        elif choice.name == "fashion-mnist":
            write_fashion(root, packed=False, number=60)
            sizes = {"train": 20, "database": 40, "queries": 30, "validation": 15}
            yield Choice(choice.entry, {**values, **sizes}).call
        elif choice.name in ("emoji", "emoji-collage"):
            write_emoji(root)
            numbers = {"train": 20, "database": 30, "queries": 10, "validation": 10}
            sizes = {"smallest": 8, **(numbers if choice.name == "emoji-collage" else {})}
            yield Choice(choice.entry, {**values, **sizes}).call
        elif choice.name == "cifar10":
            write_cifar10(root, number=1200)
            with (
                mock.patch("torchvision.datasets.CIFAR10._check_integrity", return_value=True),
                mock.patch("torchvision.datasets.cifar.check_integrity", return_value=True),
            ):
                yield loading.call
        else:
            yield loading.call


def _number(text: str) -> float:
    """A whole number, exact as a float, that stands for a text."""
    return float(int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big"))
