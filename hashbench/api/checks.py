"""Models and splits from anyone, looked at before anything is measured; what is wrong is one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from hashbench.errors import BadInput
from hashbench.evaluation.foreign_code import explain, load_split
from hashbench.evaluation.split_form import check_split
from hashbench.models.codes import batch_size
from hashbench.models.data import ImageSet, RetrievalSplit
from hashbench.models.model import HashModel, frozen
from hashbench.readers.toml_files import MOST_BITS
from hashbench.registry import entries
from hashbench.registry.spec import Spec
from hashbench.types import Images

SHAPE = "give one row of K logits for each image: [n, K]"


def checked_split(split: Any) -> RetrievalSplit:
    """A split, or that of a data set's name, with the images and labels that are held in memory checked.

    Raises:
        UnknownName: no data set has this name.
        MissingData: the data set's files are missing.
        BadInput: it is neither; or images and labels do not have the form of an `ImageSet`.
    """
    if isinstance(split, str):
        return load_split(entries.datasets.choose(Spec.parse(split)))
    if not isinstance(split, RetrievalSplit):
        raise BadInput(
            f"the split is a {type(split).__name__}; give the name of a data set, or what hashbench.split_of_tensors "
            "makes of images and labels"
        )
    check_split(split)
    return split


def device_of(model: Any) -> torch.device:
    """The device of a network's weights; the CPU if it has none.

    Raises:
        BadInput: it is no network, or its weights are on several devices.
    """
    if not isinstance(model, nn.Module):
        raise BadInput(f"the model is a {type(model).__name__}; give a torch.nn.Module that maps images to K logits")
    devices = {tensor.device for tensor in (*model.parameters(), *model.buffers())}
    if len(devices) > 1:
        raise BadInput(f"the model's weights are on {' and '.join(sorted(map(str, devices)))}; move them to one device")
    return next(iter(devices), torch.device("cpu"))


def checked_model(model: nn.Module, queries: ImageSet, device: torch.device) -> HashModel:
    """A network as a hashing model, after a look at what it makes of a few queries.

    Raises:
        CodeRaised: the network raised an exception.
        BadInput: its outputs are not [n, K] finite numbers.
    """
    images = queries.images[torch.arange(min(2, len(queries)))].to(device)
    asked = model.network if isinstance(model, HashModel) else model
    with frozen(asked), torch.no_grad():
        found = explain("the model", asked, images)
    bits = _check_logits(found, images)
    return model if isinstance(model, HashModel) else HashModel(model, bits)


def check_all_logits(model: HashModel, images: ImageSet, role: str, device: torch.device) -> None:
    """Look at the logits of a whole set.

    Raises:
        CodeRaised: the network raised an exception.
        BadInput: a logit is NaN or infinite, or outputs are not [n, K].
    """
    bad = 0
    with frozen(model), torch.no_grad():
        for index in images.batches(batch_size(images)):
            batch = images.images[index].to(device)
            found = explain("the model", model.network, batch)
            if _check_form(found, batch) != model.bits:
                raise BadInput(f"the model gives {found.shape[1]} logits for some {role} and {model.bits} for others")
            bad += int((~torch.isfinite(found)).any(1).sum())
    if bad:
        raise BadInput(
            f"the model gives NaN or infinite logits for {bad} of {len(images)} {role}; look at its weights "
            "and its normalisation"
        )


def _check_logits(found: Any, images: Images) -> int:
    bits = _check_form(found, images)
    if not torch.isfinite(found).all():
        raise BadInput("the model gives NaN or infinite logits for the first queries; look at its weights")
    return bits


def _check_form(found: Any, images: Images) -> int:
    """The number of logits of each image."""
    if not isinstance(found, Tensor):
        raise BadInput(f"the model returns a {type(found).__name__}; {SHAPE}")
    if found.dim() != 2 or found.shape[0] != len(images) or not 1 <= found.shape[1] <= MOST_BITS:
        raise BadInput(f"the model returns shape {list(found.shape)} for {len(images)} images; {SHAPE}")
    if not found.is_floating_point():
        raise BadInput(f"the model returns {found.dtype}; give logits, not codes: attacks need gradients")
    return int(found.shape[1])


@contextmanager
def left_as_it_was(model: nn.Module) -> Iterator[None]:
    """Run a block with the network in eval mode, and restore its layers, modes and gradients' flags afterwards.

    A hashing model replaces max pools in place by quicker ones.
    """
    layers = [(module, dict(module._modules)) for module in model.modules()]
    try:
        with frozen(model):
            yield
    finally:
        for module, children in layers:
            module._modules.update(children)


@contextmanager
def reproducible(device: torch.device) -> Iterator[None]:
    """Run a block whose digits are the same each time, on a GPU too, and restore torch's settings afterwards."""
    from hashbench.running.runner import make_deterministic

    backend: Any = torch.backends.cudnn
    strict, warn = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    found = (backend.benchmark, backend.allow_tf32) if device.type == "cuda" else None
    current = torch.cuda.current_device() if device.type == "cuda" else None
    make_deterministic(device)
    try:
        yield
    finally:
        if current is not None:
            torch.cuda.set_device(current)
        torch.use_deterministic_algorithms(strict, warn_only=warn)
        if found is not None:
            backend.benchmark, backend.allow_tf32 = found
