"""Emoji in colour, in the styles of two vendors, labelled with their subcategories."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch.nn import functional

from hashbench.datasets.emoji_files import Style, layers, read_emoji, vendors_of
from hashbench.models.data import ImageSet, RetrievalSplit, split_of_tensors
from hashbench.registry.decorators import dataset
from hashbench.registry.parameters import Count

SOURCE = "emoji-datasource-google and -twitter 16.0.0 (Google, Apache-2.0; Twitter, CC BY 4.0)"


@dataset("emoji", paper=SOURCE)
def emoji(
    *, root: Path | None = None, size: Literal[32, 64] = 32, style: Style = "both", smallest: Count = 20
) -> RetrievalSplit:
    """Emoji as Google and Twitter draw them, on white, labelled with their subcategory; no emoji has two roles.

    Args:
        root: folder that holds both packages, or their node_modules.
        size: pixels per side.
        style: whose drawings are shown: both vendors', google's, twitter's, or shift, where queries are Twitter's and
            the training images and the database are Google's.
        smallest: subcategories with fewer emoji are left out.

    Raises:
        MissingData: a package or one of its files is missing; the message says how to get them.
        BadInput: a file is damaged or of another version.
        BadParameter: no subcategory has so many emoji.
    """
    found = read_emoji(root, smallest)

    def role(name: str) -> ImageSet:
        members = found.roles[name]
        shown = [layers(found.pictures[vendor][members], size) for vendor in vendors_of(style, name)]
        white = np.full((len(members), 3, size, size), 255, np.uint8)
        images = np.concatenate([layer.over(white, slice(None)) for layer in shown])
        labels = functional.one_hot(torch.from_numpy(found.labels[members]), len(found.subcategories)).float()
        return ImageSet(torch.from_numpy(images).float() / 255, labels.repeat(len(shown), 1))

    return split_of_tensors(
        train=role("train"),
        queries=role("queries"),
        validation=role("validation"),
        database=role("database"),
        eps=8 / 255,
    )
