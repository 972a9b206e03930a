"""Handwritten digits of 8x8 pixels that come with scikit-learn (Alpaydin and Kaynak, UCI, 1998)."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from hashbench.data import ImageSet, RetrievalSplit, split_of_tensors
from hashbench.registry import dataset
from hashbench.types import Index

QUERIES, VALIDATION, TRAIN = 300, 200, 1000


@dataset("digits", paper="Alpaydin and Kaynak, UCI Machine Learning Repository, 1998")
def digits() -> RetrievalSplit:
    """1,797 real 8x8 digits: 300 queries, 200 validation queries, 1,297 database, 1,000 of them train."""
    queries, validation, database = digit_pools()
    return split_of_tensors(
        train=ImageSet(database.images[:TRAIN], database.labels[:TRAIN]),
        queries=queries,
        validation=validation,
        database=database,
        eps=32 / 255,
    )


def digit_pools() -> tuple[ImageSet, ImageSet, ImageSet]:
    """Disjoint digits for queries, validation queries and the database, in an order that never changes."""
    from sklearn.datasets import load_digits  # slow to import

    bunch = load_digits()
    order = np.random.RandomState(0).permutation(len(bunch.target))
    images = torch.tensor(bunch.images[order], dtype=torch.float32)[:, None] / 16
    labels = functional.one_hot(torch.tensor(bunch.target[order]), 10).float()

    def pool(index: Index) -> ImageSet:
        return ImageSet(images[index].contiguous(), labels[index].contiguous())

    everything = torch.arange(len(labels))
    bounds = [QUERIES, QUERIES + VALIDATION]
    first, second, third = (pool(part) for part in torch.tensor_split(everything, bounds))
    return first, second, third
