"""One to three emoji in front of photographs: a colour data set of several labels an image."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from hashbench.datasets.emoji_files import (
    Bytes,
    Emoji,
    Layers,
    Positions,
    Style,
    block_sums,
    layers,
    read_emoji,
    vendors_of,
)
from hashbench.errors import MissingData
from hashbench.models.data import ImageSet, RetrievalSplit, split_of_tensors
from hashbench.readers.image_reader import read_picture
from hashbench.registry.decorators import dataset
from hashbench.registry.parameters import Count

NUMBERS = {"queries": 300, "validation": 300, "database": 4000, "train": 2000}
PHOTOGRAPHS = ("china.jpg", "flower.jpg")
SCENE = 64  # pixels of a scene before it is scaled down; crops are multiples of it
LARGEST_CROP = 6
SOURCE = "emoji-datasource-google and -twitter 16.0.0 on scikit-learn's photographs, arranged by hashbench"


@dataset("emoji-collage", paper=SOURCE)
def emoji_collage(
    *,
    root: Path | None = None,
    size: Literal[32, 64] = 32,
    style: Style = "both",
    smallest: Count = 20,
    train: Count = NUMBERS["train"],
    database: Count = NUMBERS["database"],
    queries: Count = NUMBERS["queries"],
    validation: Count = NUMBERS["validation"],
) -> RetrievalSplit:
    """One to three emoji in a 2x2 grid on crops of two photographs, with all their subcategories as labels.

    No emoji is in two of train, queries, validation queries and database. Each emoji is drawn with equal chances for
    the subcategories. The scenes are the same at both sizes.

    Args:
        root: folder that holds both packages of emoji, or their node_modules.
        size: pixels per side.
        style: whose drawings are shown: both vendors' mixed, google's, twitter's, or shift, where queries are
            Twitter's and the training images and the database are Google's.
        smallest: subcategories with fewer emoji are left out.
        train: how many collages are trained on.
        database: how many are searched.
        queries: how many are queries.
        validation: how many are queries for tuning.

    Raises:
        MissingData: a package or one of its files is missing; the message says how to get them.
        BadInput: a file is damaged or of another version.
        BadParameter: no subcategory has so many emoji.
    """
    found, behind = read_emoji(root, smallest), photographs()
    numbers = {"train": train, "queries": queries, "validation": validation, "database": database}
    drawn = {vendor: layers(pictures, size // 2) for vendor, pictures in found.pictures.items()}
    roles = {}
    for position, (role, number) in enumerate(numbers.items()):
        shown = [drawn[vendor] for vendor in vendors_of(style, role)]
        roles[role] = collages(found, found.roles[role], shown, behind, number, np.random.RandomState(position))
    return split_of_tensors(**roles, eps=8 / 255)


def collages(
    found: Emoji,
    members: Positions,
    shown: list[Layers],
    behind: list[Bytes],
    number: int,
    random: np.random.RandomState,
) -> ImageSet:
    """Draw scenes: a crop, the number of emoji, their cells, their subcategories, and the emoji of these.

    Args:
        members: positions of the emoji that may be drawn.
        shown: all emoji at half the scene's size, in the styles to choose from.
        behind: photographs [3, height, width].
    """
    half = shown[0].opacity.shape[-1]
    images = np.zeros((number, 3, 2 * half, 2 * half), np.uint8)
    labels = torch.zeros(number, len(found.subcategories))
    by_label = [members[found.labels[members] == label] for label in range(len(found.subcategories))]
    for image, label in zip(images, labels, strict=True):
        image[:] = crop(behind[random.randint(len(behind))], 2 * half, random)
        for cell in random.permutation(4)[: random.randint(1, 4)]:
            kind = random.randint(len(by_label))
            emoji, layer = int(random.choice(by_label[kind])), shown[random.randint(len(shown))]
            part = image[:, half * (cell // 2) :, half * (cell % 2) :][:, :half, :half]
            part[:] = layer.over(part, emoji)
            label[kind] = 1
    return ImageSet(torch.from_numpy(images).float() / 255, labels)


def crop(photograph: Bytes, size: int, random: np.random.RandomState) -> Bytes:
    """A random square of a photograph, averaged down to [3, size, size]; the same square for every size up to 64."""
    side = SCENE * random.randint(1, LARGEST_CROP + 1)
    top, left = (random.randint(extent - side + 1) for extent in photograph.shape[1:])
    factor = side // size
    sums = block_sums(photograph[:, top : top + side, left : left + side].astype(np.int32), factor)
    return ((sums + factor * factor // 2) // (factor * factor)).astype(np.uint8)


def photographs() -> list[Bytes]:
    """scikit-learn's two colour photographs [3, 427, 640].

    Raises:
        MissingData: the installed scikit-learn lacks one.
    """
    return [np.asarray(read_picture(photograph_path(name))).transpose(2, 0, 1) for name in PHOTOGRAPHS]


def photograph_path(name: str) -> Path:
    """Where scikit-learn keeps a photograph.

    Raises:
        MissingData: the installed scikit-learn lacks it.
    """
    found = find_spec("sklearn")
    folders = list(found.submodule_search_locations or []) if found else []
    path = Path(*folders, "datasets", "images", name)
    if not path.is_file():
        raise MissingData(
            f"no photograph at {path}; reinstall scikit-learn: pip install --force-reinstall scikit-learn"
        )
    return path
