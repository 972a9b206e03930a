"""The counting loop, compiled: exclusive or, population count and relevance of a block of items in one pass.

All values are integers, so that neither threads nor blocks affect a result.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba
import numpy as np
from numba.extending import intrinsic

from hashbench.metrics.packed_codes import Integers, Words

BLOCK = 1024  # items per step, more where codes are long: they stay in the cache while all queries pass
TABLES = 4  # increments of one slot wait for each other; neighbouring items write to different tables

Fill = Callable[[Integers, Words, Words, Words, Words], None]


def _ones(typing_context: Any, word: Any) -> Any:
    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return word(word), emit


ones: Any = intrinsic(_ones)


def _fill(slots: Integers, query_codes: Words, query_labels: Words, codes: Words, labels: Words) -> None:
    items, block, width = codes.shape[1], max(BLOCK, 4 * slots.shape[1]), slots.shape[1]
    distance, shared = np.zeros(block, dtype=np.uint64), np.zeros(block, dtype=np.uint64)
    found, table = np.zeros(block, dtype=np.uint32), np.zeros(TABLES * width, dtype=np.int64)
    for start in range(0, items, block):
        size = min(block, items - start)
        for query in range(len(query_codes)):
            if codes.shape[0] > 1:
                distance[:size] = 0
            if labels.shape[0] > 1:
                shared[:size] = 0
            for word in range(1, codes.shape[0]):
                wanted, row = query_codes[query, word], codes[word, start : start + size]
                for item in range(size):
                    distance[item] += ones(wanted ^ row[item])
            for word in range(1, labels.shape[0]):
                wanted, row = query_labels[query, word], labels[word, start : start + size]
                for item in range(size):
                    shared[item] |= wanted & row[item]
            code, row = query_codes[query, 0], codes[0, start : start + size]
            label, shown = query_labels[query, 0], labels[0, start : start + size]
            for item in range(size):
                apart = distance[item] + ones(code ^ row[item])
                relevant = (shared[item] | (label & shown[item])) != 0
                found[item] = np.uint32(2 * apart) + np.uint32(relevant)
            for item in range(0, size - 3, 4):
                table[np.intp(found[item])] += 1
                table[np.intp(found[item + 1]) + width] += 1
                table[np.intp(found[item + 2]) + 2 * width] += 1
                table[np.intp(found[item + 3]) + 3 * width] += 1
            for item in range(size - size % 4, size):
                table[np.intp(found[item])] += 1
            for slot in range(width):
                slots[query, slot] += (
                    table[slot] + table[slot + width] + table[slot + 2 * width] + table[slot + 3 * width]
                )
            table[:] = 0


def _compiled(function: Fill) -> Fill:
    """The compiled function, cached on disk where possible."""
    try:
        found: Fill = numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:  # neither the package's folder nor the user's can be written
        found = numba.njit(nogil=True)(function)
    return found


fill = _compiled(_fill)


def add_slots(slots: Integers, query_codes: Words, query_labels: Words, codes: Words, labels: Words) -> None:
    """Add the counts of a block of a database, in place, on as many threads as numba may use.

    Threads divide the queries among them, or the items if there are few queries.

    Args:
        slots: [queries, 2 * (bits + 1)]; slot 2d counts irrelevant items at distance d, 2d + 1 relevant ones.
        query_codes: [queries, words].
        query_labels: [queries, words].
        codes: [words, items], word by word over all items.
        labels: [words, items].
    """
    threads = int(vars(numba.config)["NUMBA_NUM_THREADS"])
    if threads == 1:
        fill(slots, query_codes, query_labels, codes, labels)
        return
    with ThreadPoolExecutor(threads) as pool:
        if len(slots) >= threads:
            rows = [slice(i * len(slots) // threads, (i + 1) * len(slots) // threads) for i in range(threads)]
            list(pool.map(lambda r: fill(slots[r], query_codes[r], query_labels[r], codes, labels), rows))
            return
        edges = [i * codes.shape[1] // threads for i in range(threads + 1)]

        def part(first: int, last: int) -> Integers:
            found = np.zeros_like(slots)
            fill(found, query_codes, query_labels, codes[:, first:last].copy(), labels[:, first:last].copy())
            return found

        slots += sum(pool.map(part, edges[:-1], edges[1:]))
