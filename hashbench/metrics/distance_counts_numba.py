"""The counting loop, compiled: exclusive or, population count and relevance of a block of items in one pass.

Codes and label sets are read in words of 32 bits, 16 of which fit into the widest registers of today's processors;
where those count the ones of a whole register at once, the compiler uses it. All values are integers, so that
neither threads nor blocks affect a result.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numba.extending import intrinsic

from hashbench.metrics.packed_codes import Integers, ShortWords

CHUNK = 1024  # items whose distances and slots stay in the nearest cache
BLOCK = 2048  # items that are read for one query after the other, more where codes are long
TABLES = 4  # increments of one slot wait for each other; neighbouring items write to different tables
PAIRED_WORDS = 16  # of codes and labels of an item up to which a long block stays in a cache
PAIRS = 1 << 20  # of a query and an item that a thread gets at least; fewer take less time than starting it

Function = TypeVar("Function", bound=Callable[..., Any])


def _ones(typing_context: Any, word: Any) -> Any:
    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return word(word), emit


ones: Any = intrinsic(_ones)


def compiled(function: Function) -> Function:
    """The compiled function, cached on disk where possible."""
    try:
        return cast("Function", numba.njit(nogil=True, cache=True)(function))
    except RuntimeError:  # neither the package's folder nor the user's can be written
        return cast("Function", numba.njit(nogil=True)(function))


@compiled
def measure(distances: ShortWords, query: ShortWords, codes: ShortWords, start: int) -> None:
    """Write the Hamming distances of a query to the items from `start` on, as many as `distances` holds.

    Args:
        query: [words].
        codes: [words, items].
    """
    size, words, one, row = len(distances), len(query), query[0], codes[0, start:]
    for item in range(size):
        distances[item] = ones(one ^ row[item])
    word = 1
    while words - word >= 4:  # four words a pass, since a sum of four is read and written once
        one, two, three, four = query[word], query[word + 1], query[word + 2], query[word + 3]
        row, second = codes[word, start:], codes[word + 1, start:]
        third, fourth = codes[word + 2, start:], codes[word + 3, start:]
        for item in range(size):
            here = ones(one ^ row[item]) + ones(two ^ second[item])
            distances[item] += here + ones(three ^ third[item]) + ones(four ^ fourth[item])
        word += 4
    while words > word:
        one, row = query[word], codes[word, start:]
        for item in range(size):
            distances[item] += ones(one ^ row[item])
        word += 1


@compiled
def add_relevance(slots: ShortWords, shared: ShortWords, query: ShortWords, labels: ShortWords, start: int) -> None:
    """Turn distances into slots, 2 * distance + relevance; `shared` is room for as many words."""
    size, one, row = len(slots), query[0], labels[0, start:]
    for item in range(size):
        shared[item] = one & row[item]
    word, words = 1, len(query)
    while words - word >= 4:
        one, two, three, four = query[word], query[word + 1], query[word + 2], query[word + 3]
        row, second = labels[word, start:], labels[word + 1, start:]
        third, fourth = labels[word + 2, start:], labels[word + 3, start:]
        for item in range(size):
            here = (one & row[item]) | (two & second[item])
            shared[item] |= here | (three & third[item]) | (four & fourth[item])
        word += 4
    while words > word:
        one, row = query[word], labels[word, start:]
        for item in range(size):
            shared[item] |= one & row[item]
        word += 1
    for item in range(size):
        slots[item] = np.uint32(2) * slots[item] + np.uint32(shared[item] != 0)


@compiled
def add_pairs(table: ShortWords, slots: ShortWords, width: int) -> None:
    """Count items two at a time, by both their slots: half the increments, which rarely wait for each other.

    The slots of the first half are overwritten.
    """
    half, times = len(slots) // 2, np.uint32(width)
    for item in range(half):
        slots[item] = slots[item] * times + slots[item + half]
    for item in range(half):
        table[slots[item]] += np.uint32(1)


@compiled
def add_singles(table: ShortWords, slots: ShortWords, width: int) -> None:
    """Count items one at a time, neighbours in different tables."""
    size = len(slots)
    for item in range(0, size - 3, 4):
        table[np.intp(slots[item])] += np.uint32(1)
        table[np.intp(slots[item + 1]) + width] += np.uint32(1)
        table[np.intp(slots[item + 2]) + 2 * width] += np.uint32(1)
        table[np.intp(slots[item + 3]) + 3 * width] += np.uint32(1)
    for item in range(size - size % 4, size):
        table[np.intp(slots[item])] += np.uint32(1)


@compiled
def add_table(counts: Integers, table: ShortWords, paired: bool) -> None:
    """Add what a table holds to a query's counts, and empty it: tables of single items, or one of pairs."""
    width = len(counts)
    for first in range(len(table) // width):
        row, total = table[first * width : (first + 1) * width], np.int64(0)
        for slot in range(width):
            counts[slot] += np.int64(row[slot])
        if paired:
            for slot in range(width):
                total += np.int64(row[slot])
            counts[first] += total
        for slot in range(width):
            row[slot] = np.uint32(0)


@compiled
def fill(
    counts: Integers, query_codes: ShortWords, query_labels: ShortWords, codes: ShortWords, labels: ShortWords
) -> None:
    """Add the counts of a block of at most 2^32 items on one thread; arguments are those of `add_slots`."""
    items, width = codes.shape[1], counts.shape[1]
    paired = width * width <= 2 * items and len(codes) + len(labels) <= PAIRED_WORDS
    block = items if paired else max(BLOCK, 4 * width)
    table = np.zeros((width if paired else TABLES) * width, dtype=np.uint32)
    slots, shared = np.zeros(CHUNK, dtype=np.uint32), np.zeros(CHUNK, dtype=np.uint32)
    for first in range(0, items, block):
        last = min(items, first + block)
        for query in range(len(query_codes)):
            for start in range(first, last, CHUNK):
                found = slots[: min(CHUNK, last - start)]
                measure(found, query_codes[query], codes, start)
                add_relevance(found, shared, query_labels[query], labels, start)
                if not paired:
                    add_singles(table, found, width)
                    continue
                add_pairs(table, found, width)
                if len(found) % 2:
                    counts[query, np.intp(found[-1])] += 1
            add_table(counts[query], table, paired)


def threads_for(pairs: int) -> int:
    """How many threads, of those that numba may use, the work on so many pairs of a query and an item is worth."""
    return max(1, min(int(vars(numba.config)["NUMBA_NUM_THREADS"]), pairs // PAIRS))


def add_slots(
    counts: Integers, query_codes: ShortWords, query_labels: ShortWords, codes: ShortWords, labels: ShortWords
) -> None:
    """Add the counts of a block of a database, in place, on as many threads as numba may use and the work is worth.

    Threads divide the queries among them, or the items if there are few queries.

    Args:
        counts: [queries, 2 * (bits + 1)]; slot 2d counts irrelevant items at distance d, 2d + 1 relevant ones.
        query_codes: [queries, words].
        query_labels: [queries, words].
        codes: [words, items], word by word over all items.
        labels: [words, items].
    """
    threads = threads_for(len(counts) * codes.shape[1])
    if threads == 1:
        fill(counts, query_codes, query_labels, codes, labels)
        return
    with ThreadPoolExecutor(threads) as pool:
        if len(counts) >= threads:
            rows = [slice(i * len(counts) // threads, (i + 1) * len(counts) // threads) for i in range(threads)]
            list(pool.map(lambda r: fill(counts[r], query_codes[r], query_labels[r], codes, labels), rows))
            return
        edges = [i * codes.shape[1] // threads for i in range(threads + 1)]

        def part(first: int, last: int) -> Integers:
            found = np.zeros_like(counts)
            fill(found, query_codes, query_labels, codes[:, first:last].copy(), labels[:, first:last].copy())
            return found

        counts += sum(pool.map(part, edges[:-1], edges[1:]))
