"""The search for the nearest items, compiled: by the distances that the counting loop makes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np

from hashbench.metrics.distance_counts_numba import compiled, measure, threads_for
from hashbench.metrics.packed_codes import Integers, ShortWords


@compiled
def search(found: Integers, queries: ShortWords, codes: ShortWords) -> None:
    """Fill `found` [queries, top] on one thread; arguments are those of `find`."""
    items, top = codes.shape[1], found.shape[1]
    distances, places = np.zeros(items, dtype=np.uint32), np.zeros(32 * len(codes) + 2, dtype=np.int64)
    for query in range(len(queries)):
        measure(distances, queries[query], codes, 0)
        places[:] = 0
        for item in range(items):
            places[distances[item] + np.uint32(1)] += 1
        radius = 0
        while places[radius + 1] < top - places[radius]:
            places[radius + 1] += places[radius]
            radius += 1
        left = top
        for item in range(items):
            if distances[item] > radius:
                continue
            place = places[distances[item]]
            if place < top:
                found[query, place] = item
                places[distances[item]] = place + 1
                left -= 1
                if not left:
                    break


def find(queries: ShortWords, codes: ShortWords, top: int) -> Integers:
    """Positions [queries, top] of the nearest items, in order, on as many threads as the work is worth.

    Args:
        queries: [queries, words].
        codes: [words, items], word by word over all items.
        top: at most the number of items.
    """
    found = np.zeros((len(queries), top), dtype=np.int64)
    if not top:
        return found
    threads = min(threads_for(len(queries) * codes.shape[1]), max(1, len(queries)))
    if threads == 1:
        search(found, queries, codes)
        return found
    edges = [part * len(queries) // threads for part in range(threads + 1)]
    with ThreadPoolExecutor(threads) as pool:
        parts = [slice(first, last) for first, last in pairwise(edges)]
        list(pool.map(lambda rows: search(found[rows], queries[rows], codes), parts))
    return found
