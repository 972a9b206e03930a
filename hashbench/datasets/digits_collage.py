"""Collages of real digits: a small multi-label data set."""

from __future__ import annotations

import numpy as np
import torch

from hashbench.datasets.digits import digit_pools
from hashbench.models.data import ImageSet, RetrievalSplit, split_of_tensors
from hashbench.registry.decorators import dataset

QUERIES, VALIDATION, DATABASE, TRAIN = 300, 300, 4000, 2000
CELL = 8  # pixels per side of a digit


@dataset("digits-collage", paper="scikit-learn's digits (UCI, 1998), arranged by hashbench")
def digits_collage() -> RetrievalSplit:
    """16x16 canvases with 1 to 3 real digits in a 2x2 grid, labelled with all their classes.

    300 queries, 300 validation queries, 4,000 database, 2,000 of them train. The three sets are made of disjoint
    digits.
    """
    random = np.random.RandomState(0)
    queries, validation, database = (
        collage(pool, number, random)
        for pool, number in zip(digit_pools(), (QUERIES, VALIDATION, DATABASE), strict=True)
    )
    return split_of_tensors(
        train=ImageSet(database.images[:TRAIN], database.labels[:TRAIN]),
        queries=queries,
        validation=validation,
        database=database,
        eps=32 / 255,
    )


def collage(pool: ImageSet, number: int, random: np.random.RandomState) -> ImageSet:
    """Draw canvases: the number of digits, their cells and the digits of the pool, each uniformly."""
    images = torch.zeros(number, 1, 2 * CELL, 2 * CELL)
    labels = torch.zeros(number, pool.labels.shape[1])
    for image, label in zip(images, labels, strict=True):
        digits = random.randint(1, 4)
        cells = random.permutation(4)[:digits]
        chosen = random.permutation(len(pool))[:digits]
        for cell, position in zip(cells, chosen, strict=True):
            top, left = CELL * (cell // 2), CELL * (cell % 2)
            image[0, top : top + CELL, left : left + CELL] = pool.images[position][0]
            label.clamp_(min=pool.labels[position])
    return ImageSet(images, labels)
