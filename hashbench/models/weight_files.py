"""Named tensors from files of other programs, read without running any code that they may contain."""

from __future__ import annotations

import hashlib
import pickle
import struct
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hashbench.errors import BadInput
from hashbench.readers.folders import open_regular
from hashbench.readers.weight_files import read_weights

WRAPPERS = ("state_dict", "model_state_dict", "model", "net")  # keys under which people save a state dict
# What torch.load raises for a file that it did not write, or that is truncated.
UNREADABLE = (
    RuntimeError, EOFError, OSError, ValueError, LookupError, TypeError, AttributeError, AssertionError, struct.error,
)  # fmt: skip
SHOWN = 4  # names in a message


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, or of a state dict saved by torch.save, by name, on the CPU.

    Raises:
        BadInput: the file is damaged, or holds anything but tensors; code in it is not run.
    """
    if path.suffix == ".safetensors":
        return read_weights(path)
    try:
        with warnings.catch_warnings(action="ignore"), open_regular(path) as file:  # of an odd pickle protocol
            content = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise BadInput(
            f"{path} holds Python objects besides tensors and was not loaded, since they could run code; where the "
            "model was trained, save its tensors only: torch.save(model.state_dict(), FILE)"
        ) from None
    except UNREADABLE as error:
        raise BadInput(
            f"{path} is damaged or was not written by torch.save ({_one_line(error)}); copy it again"
        ) from None
    tensors = _unwrap(content)
    if not tensors:
        raise BadInput(
            f"{path} does not hold a state dict of named tensors; save one with torch.save(model.state_dict(), FILE)"
        )
    return tensors


def load_strictly(network: nn.Module, tensors: Mapping[str, Tensor], source: str) -> None:
    """Put tensors into a network, each exactly once.

    Raises:
        BadInput: a tensor is missing, unexpected, of another shape or not finite; the message names it.
    """
    wanted = network.state_dict()
    counters = {name for name in wanted if name.endswith("num_batches_tracked")}  # not in old files
    missing = wanted.keys() - tensors.keys() - counters
    unexpected = tensors.keys() - wanted.keys()
    if missing or unexpected:
        parts = [f"lacks {listed(missing)}"] if missing else []
        parts += [f"has the unexpected {listed(unexpected)}"] if unexpected else []
        raise BadInput(f"{source} {' and '.join(parts)}; does it belong to another backbone?")
    wrong = [
        f"{name} is {list(tensor.shape)} instead of {list(wanted[name].shape)}"
        for name, tensor in tensors.items()
        if tensor.shape != wanted[name].shape
    ]
    if wrong:
        raise BadInput(f"{source}: {listed(wrong)}; does it belong to another backbone or code length?")
    broken = [name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()]
    if broken:
        raise BadInput(f"{source}: {listed(broken)} holds NaN or infinity; copy the file again, or retrain the model")
    network.load_state_dict({**{name: wanted[name] for name in counters}, **tensors})


def tensor_digest(tensors: dict[str, Tensor]) -> str:
    """Sixteen hexadecimal digits that identify named tensors, whatever their device."""
    found = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        found.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        held = tensor.detach().cpu().contiguous()
        try:
            found.update(held.numpy().tobytes())
        except TypeError:  # a type that numpy lacks, such as bfloat16
            found.update(held.flatten().view(torch.uint8).numpy().tobytes())
    return found.hexdigest()[:16]


def listed(names: Iterable[str]) -> str:
    """The first few names, sorted, and how many more there are.

    >>> listed(["d", "b", "a", "c", "e", "f"])
    'a, b, c, d and 2 more'
    """
    known = sorted(names)
    more = f" and {len(known) - SHOWN} more" if len(known) > SHOWN else ""
    return ", ".join(known[:SHOWN]) + more


def _unwrap(content: Any) -> dict[str, Tensor]:
    while isinstance(content, Mapping) and not _is_state(content):
        inner = [content[key] for key in WRAPPERS if key in content]
        if not inner:
            return {}
        content = inner[0]
    return dict(content) if isinstance(content, Mapping) else {}


def _is_state(content: Mapping[Any, Any]) -> bool:
    return bool(content) and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in content.items())


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:100] or type(error).__name__
