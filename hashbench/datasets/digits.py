"""Handwritten digits of 8x8 pixels that come with scikit-learn (Alpaydin and Kaynak, UCI, 1998)."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from hashbench.errors import MissingData
from hashbench.models.data import ImageSet, RetrievalSplit, split_of_tensors
from hashbench.registry.decorators import dataset
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
    """Disjoint digits for queries, validation queries and the database, in a fixed order."""
    table = read_table()
    table = table[np.random.RandomState(0).permutation(len(table))]
    images = torch.tensor(table[:, :64].reshape(-1, 1, 8, 8), dtype=torch.float32) / 16
    labels = functional.one_hot(torch.tensor(table[:, 64]), 10).float()

    def pool(index: Index) -> ImageSet:
        return ImageSet(images[index].contiguous(), labels[index].contiguous())

    everything = torch.arange(len(labels))
    bounds = [QUERIES, QUERIES + VALIDATION]
    first, second, third = (pool(part) for part in torch.tensor_split(everything, bounds))
    return first, second, third


def read_table() -> NDArray[np.int64]:
    """scikit-learn's digits [1797, 65]: 64 pixels from 0 to 16 and the class; its own reader takes a second to import.

    Raises:
        MissingData: the installed scikit-learn lacks the file.
    """
    found = find_spec("sklearn")
    folders = list(found.submodule_search_locations or []) if found else []
    path = Path(*folders, "datasets", "data", "digits.csv.gz")
    if not path.is_file():
        raise MissingData(f"no digits at {path}; reinstall scikit-learn: pip install --force-reinstall scikit-learn")
    return np.loadtxt(path, delimiter=",", dtype=np.int64)
