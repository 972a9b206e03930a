"""How well corrupted queries retrieve."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from hashbench.evaluation.corruptions import Corruption
from hashbench.evaluation.foreign_code import asked
from hashbench.metrics.average_precision import average_precision, chance
from hashbench.metrics.distance_counts_torch import count_tensors
from hashbench.models.codes import batch_size, encode_batch
from hashbench.models.data import ImageSet, Queries, Victim
from hashbench.models.model import binarize
from hashbench.seeds import derive_seed, seeded
from hashbench.types import Codes

Values = NDArray[np.float64]


def corrupted_precision(
    victim: Victim, queries: ImageSet, corruption: Corruption | None, strength: int, seed: int
) -> Values:
    """The AP of each query after a corruption, [queries]; NaN where a query has no relevant item.

    Args:
        corruption: None for the clean queries.
        seed: of the corruption; random numbers of a model that draws some are seeded apart.

    Raises:
        CodeRaised: the model raised an exception.
    """
    device = victim.gallery.codes.device
    codes: list[Codes] = []
    for index in queries.batches(batch_size(queries)):
        batch = Queries(queries.images[index].to(device), queries.labels[index].to(device), index.to(device), seed)
        images = batch.images if corruption is None else corruption(batch, strength)
        with seeded(derive_seed("codes of corrupted queries", seed, strength, int(index[0]))):
            codes.append(binarize(asked(encode_batch, victim.model, images)))
    gallery = victim.gallery
    return average_precision(count_tensors(torch.cat(codes), queries.labels, gallery.codes, gallery.labels)).expected


def chance_precision(victim: Victim, queries: ImageSet) -> Values:
    """The AP that a random ranking gives each query, [queries]; NaN where a query has no relevant item."""
    gallery = victim.gallery
    anything = gallery.codes[:1].expand(len(queries), -1)
    return chance(count_tensors(anything, queries.labels, gallery.codes, gallery.labels))
