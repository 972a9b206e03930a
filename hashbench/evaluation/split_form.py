"""Splits from anyone, looked at before anything is measured: what is wrong with images and labels is one line."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from hashbench.errors import BadInput
from hashbench.models.arrays import in_range, multi_hot
from hashbench.models.data import ImageSet, RetrievalSplit

AT_ONCE = 4096  # images whose pixels are looked at together


def check_split(split: RetrievalSplit) -> None:
    """Refuse a split whose roles do not have the form of an `ImageSet`, or that differ in their images or classes.

    Images that are decoded when asked are judged by their shape alone; there need be no validation queries.

    Raises:
        BadInput: as above; the message names the role.
    """
    parts = {"train": split.train, "queries": split.queries, "database": split.database}
    validation = split.validation
    parts |= {} if isinstance(validation, ImageSet) and not len(validation) else {"validation": validation}
    for role, part in parts.items():
        _check_part(part, role)
    for role, part in parts.items():
        for what, own, wanted in (
            ("images of shape", tuple(part.images.shape[1:]), tuple(split.queries.images.shape[1:])),
            ("classes", part.labels.shape[1], split.queries.labels.shape[1]),
        ):
            if own != wanted:
                raise BadInput(f"{role} has {what} {own}, queries {wanted}; they must be the same")


def _check_part(part: Any, role: str) -> None:
    if not isinstance(part, ImageSet):
        raise BadInput(f"{role} is a {type(part).__name__}; give an ImageSet")
    shape = tuple(part.images.shape)
    if len(shape) != 4 or 0 in shape:
        raise BadInput(f"the images of {role} have shape {list(shape)}; give [images, channels, height, width]")
    if part.labels.ndim != 2 or len(part.labels) != shape[0]:
        raise BadInput(
            f"{role} has {shape[0]} images and labels of shape {list(part.labels.shape)}; give [images, classes]"
        )
    _check_floats(part.labels, f"the labels of {role}", "0 and 1 as 32-bit floats: labels.float()")
    multi_hot(part.labels, role)
    if isinstance(part.images, Tensor):
        scaled = "images.float()" if part.images.is_floating_point() else "images.float() / 255"
        _check_floats(part.images, f"the images of {role}", f"32-bit floats in [0, 1]: {scaled}")
        for images in torch.split(part.images, AT_ONCE):
            in_range(images, role)


def _check_floats(values: Any, what: str, wanted: str) -> None:
    if getattr(values, "dtype", None) != torch.float32:
        raise BadInput(f"{what} are {getattr(values, 'dtype', type(values).__name__)}; give {wanted}")
