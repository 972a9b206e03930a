"""Items counted by distance on the workers of a cluster."""

from __future__ import annotations

import functools

import numpy as np
from distributed import Client

from hashbench.metrics.distance_counts import Counts, count
from hashbench.metrics.packed_codes import Bits


def count_on(
    client: Client, query_codes: Bits, query_labels: Bits, codes: Bits, labels: Bits, *, shards: int = 8
) -> Counts:
    """`hamming.count` on a cluster: each worker counts parts of the database, and the counts add up.

    Args:
        query_codes: [queries, bits].
        query_labels: [queries, classes].
        codes: [items, bits].
        labels: [items, classes].
        shards: parts of the database.
    """
    queries = client.scatter([query_codes, query_labels], broadcast=True)
    parts = zip(np.array_split(codes, shards), np.array_split(labels, shards), strict=True)
    counted = [client.submit(count, *queries, *client.scatter(list(part)), pure=False) for part in parts]
    first, *others = client.gather(counted)
    whole: Counts = functools.reduce(Counts.__add__, others, first)
    return whole
