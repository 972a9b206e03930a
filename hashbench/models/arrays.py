"""Images and labels as people hold them, arrays or tensors of several forms, made into the one form used here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hashbench.errors import BadInput
from hashbench.types import Images, Labels

MOST_CLASSES = 1 << 16


def images_of(images: Any, role: str) -> Images:
    """Images [n, channels, height, width] as 32-bit floats in [0, 1]; whole bytes are divided by 255.

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
    return in_range(found.float(), role)


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
    """Multi-hot labels [n, classes] of each role; class numbers [n] become rows of one 1.

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
    numbers = {role: labels for role, labels in found.items() if labels.dim() == 1}
    if not numbers:
        return {role: multi_hot(labels.float(), role) for role, labels in found.items()}
    widths = {labels.shape[1] for labels in found.values() if labels.dim() == 2}
    for role, labels in numbers.items():
        if not torch.equal(labels, labels.long()) or labels.amin() < 0 or labels.amax() >= MOST_CLASSES:
            raise BadInput(
                f"the labels of {role} are no class numbers from 0 to {MOST_CLASSES - 1}; give whole numbers"
            )
    classes = max([*widths, *(int(labels.amax()) + 1 for labels in numbers.values())])
    return {
        role: multi_hot(labels.float(), role)
        if labels.dim() == 2
        else torch.nn.functional.one_hot(labels.long(), classes).float()
        for role, labels in found.items()
    }


def multi_hot(labels: Labels, role: str) -> Labels:
    """The same labels.

    Raises:
        BadInput: a value is neither 0 nor 1.
    """
    odd = labels[(labels != 0) & (labels != 1)]
    if odd.numel():
        raise BadInput(f"the labels of {role} hold {float(odd[0]):.4g}; give 0 and 1, or one class number per image")
    return labels


def _tensor(values: Any, what: str) -> Tensor:
    try:
        found = values if isinstance(values, Tensor) else torch.from_numpy(np.array(values))
    except (TypeError, ValueError):
        raise BadInput(f"{what} are a {type(values).__name__} that is no array of numbers; give an array") from None
    return found.detach().cpu()
