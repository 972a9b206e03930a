"""Images and labels as people hold them, arrays or tensors of several forms, made into the one form used here."""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hashbench.errors import BadInput
from hashbench.readers.text import shown
from hashbench.types import Images, Labels

MOST_CLASSES = 1 << 16
Number = float | np.number[Any]


def images_of(images: Any, role: str) -> Images:
    """Images [n, channels, height, width] as 32-bit floats in [0, 1], a copy; whole bytes are divided by 255.

    Args:
        images: an array or a tensor of that shape.
        role: what messages call them.

    Raises:
        BadInput: the shape is another one, a pixel is not a number or is outside [0, 1].

    >>> images_of(np.full((1, 1, 2, 2), 255, dtype=np.uint8), "queries").max()
    tensor(1.)
    """
    found = _tensor(images, f"the images of {role}")
    if found.dim() != 4 or not found.numel():
        raise BadInput(f"the images of {role} have shape {list(found.shape)}; give [images, channels, height, width]")
    if found.dtype == torch.uint8:
        return found.float() / 255
    return in_range(_owned(found, images), role)


def in_range(images: Images, role: str) -> Images:
    """The same images.

    Raises:
        BadInput: a pixel is not a number or is outside [0, 1].
    """
    low, high = (float(bound) for bound in torch.aminmax(images))
    if not (np.isfinite(low) and np.isfinite(high)):
        raise BadInput(f"the images of {role} hold NaN or infinite pixels; look at how they were read")
    if low < 0 or high > 1:
        raise BadInput(
            f"the images of {role} have pixels from {low:.4g} to {high:.4g}; give pixels in [0, 1] "
            "and let the model normalise them"
        )
    return images


def labels_of(given: Mapping[str, tuple[Any, int]]) -> dict[str, Labels]:
    """Multi-hot labels [n, classes] of each role, as 32-bit floats, a copy; class numbers [n] become rows of one 1.

    Args:
        given: by role, labels and the number of its images.

    Raises:
        BadInput: there are not as many labels as images, roles differ in their classes, or a value is no label.

    >>> labels_of({"queries": ([1, 0], 2), "database": (np.array([2]), 1)})["queries"]
    tensor([[0., 1., 0.],
            [1., 0., 0.]])
    """
    found = {role: _tensor(labels, f"the labels of {role}") for role, (labels, _) in given.items()}
    for role, (_, count) in given.items():
        if found[role].dim() not in (1, 2) or len(found[role]) != count:
            raise BadInput(
                f"{role} has {count} images and labels of shape {list(found[role].shape)}; give [images] class numbers "
                "or [images, classes] of 0 and 1"
            )
    known = {role: _class_numbers(labels, role) for role, labels in found.items() if labels.dim() == 1}
    widths = {role: labels.shape[1] for role, labels in found.items() if labels.dim() == 2 and len(labels)}
    least = {role: int(labels.amax()) + 1 for role, labels in known.items() if len(labels)}
    classes = max([*widths.values(), *least.values()], default=1)
    for role, width in widths.items():
        if width != classes:
            other = next(name for name, count in (widths | least).items() if count == classes)
            raise BadInput(f"{role} has labels of {width} classes, {other} of {classes}; give all roles the same ones")
    return {
        role: torch.nn.functional.one_hot(known[role], classes).float()
        if role in known
        else multi_hot(_owned(labels, given[role][0]), role)
        for role, labels in found.items()
    }


def _class_numbers(labels: Tensor, role: str) -> Tensor:
    """Class numbers [n] of any type as 64-bit integers.

    Raises:
        BadInput: one is no whole number from 0 to MOST_CLASSES - 1.
    """
    whole = labels.long()  # before all comparisons: 65536 is 0 in 8 bits, and torch compares no unsigned 16 bits
    if not torch.equal(whole.to(labels.dtype), labels) or ((whole < 0) | (whole >= MOST_CLASSES)).any():
        raise BadInput(f"the labels of {role} are no class numbers from 0 to {MOST_CLASSES - 1}; give whole numbers")
    return whole


def multi_hot(labels: Labels, role: str) -> Labels:
    """The same labels.

    Raises:
        BadInput: a value is neither 0 nor 1.
    """
    odd = labels[(labels != 0) & (labels != 1)]
    if odd.numel():
        raise BadInput(f"the labels of {role} hold {float(odd[0]):.4g}; give 0 and 1, or one class number per image")
    return labels


def budget_of(eps: Any) -> float:
    """A budget as people hold it, a number of Python or of numpy.

    Raises:
        BadInput: it is no number.

    >>> budget_of(np.float32(0.5))
    0.5
    """
    if isinstance(eps, bool) or not isinstance(eps, numbers.Real):
        raise BadInput(f"eps is {shown(eps)}; give a number in pixel units of [0, 1], such as 8 / 255")
    return float(eps)


def whole_of(value: Any, what: str) -> int:
    """A whole number as people hold it, of Python or of numpy, as Python's own: keys tell them apart.

    Args:
        what: what messages call it.

    Raises:
        BadInput: it is none.

    >>> whole_of(np.int64(32), "bits")
    32
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise BadInput(f"{what} is {shown(value)}; give a whole number")
    return int(value)


def _tensor(values: Any, what: str) -> Tensor:
    """Values as a tensor on the CPU, which shares memory with them where they are one."""
    try:
        found = values if isinstance(values, Tensor) else torch.from_numpy(np.array(values))
    except (TypeError, ValueError):
        found = None
    if found is None or found.is_complex():
        raise BadInput(f"{what} are a {type(values).__name__} that is no array of numbers; give an array")
    return found.detach().cpu()


def _owned(found: Tensor, given: Any) -> Tensor:
    """A tensor as 32-bit floats in memory of its own, though it was made of what somebody else may change."""
    return found.to(torch.float32, copy=isinstance(given, Tensor))
