"""How many database items lie at each Hamming distance of a query."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from hashbench.errors import BadInput
from hashbench.metrics.packed_codes import Bits, Integers, by_word, pack_short

ITEMS = 1 << 16  # database items that are packed and counted in one go

Shard = tuple[Bits, Bits]  # codes [items, bits] and labels [items, classes] of a part of a database


@dataclass(frozen=True)
class Counts:
    """Database items at each distance of each query: all, and the relevant ones.

    Both are integers of shape [queries, bits + 1]; column d counts the items at distance d. The counts of parts of
    a database add up to those of the whole.

    >>> part = Counts(np.array([[1, 2]]), np.array([[1, 0]]))
    >>> (part + part).items
    array([[2, 4]])
    """

    items: Integers
    relevant: Integers

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.items + other.items, self.relevant + other.relevant)


def count(query_codes: Bits, query_labels: Bits, codes: Bits, labels: Bits) -> Counts:
    """Count the database items at each Hamming distance of each query, on all cores.

    Memory does not grow with the number of pairs.

    Args:
        query_codes: [queries, bits]; true where a code bit is +1.
        query_labels: [queries, classes]; an item is relevant if it shares a true class.
        codes: [items, bits].
        labels: [items, classes].

    Raises:
        BadInput: the widths of queries and database, or the rows of codes and labels, differ.

    >>> codes, labels = np.array([[True, True], [True, False], [False, False]]), np.array([[True], [False], [True]])
    >>> found = count(codes[:1], labels[:1], codes, labels)
    >>> found.items, found.relevant
    (array([[1, 1, 1]]), array([[1, 0, 1]]))
    """
    return count_shards(query_codes, query_labels, [(codes, labels)])


def count_shards(query_codes: Bits, query_labels: Bits, shards: Iterable[Shard]) -> Counts:
    """Count as `count` does, over a database that comes in parts, one held in memory at a time.

    Args:
        query_codes: [queries, bits].
        query_labels: [queries, classes].
        shards: codes [items, bits] and labels [items, classes] of each part; none is an empty database.

    Raises:
        BadInput: the widths of queries and database, or the rows of codes and labels, differ.
    """
    from hashbench.metrics.distance_counts_numba import add_slots  # loads a compiler

    slots = np.zeros((len(query_codes), 2 * (query_codes.shape[1] + 1)), dtype=np.int64)
    queries = pack_short(query_codes), pack_short(query_labels)
    for shard in shards:
        check_widths((query_codes, query_labels), shard)
        for codes, labels in _blocks(shard):
            add_slots(slots, *queries, by_word(codes), by_word(labels))
    return from_slots(slots)


def check_widths(queries: tuple[Bits, Bits], shard: Shard) -> None:
    """Refuse codes and labels that do not belong together.

    Raises:
        BadInput: the widths of queries and database, or the rows of codes and labels, differ.
    """
    for left, right, unit in (
        (queries[0].shape[1], shard[0].shape[1], "queries of {} bits and a database of {}"),
        (queries[1].shape[1], shard[1].shape[1], "queries of {} classes and a database of {}"),
        (len(queries[0]), len(queries[1]), "{} queries with {} rows of labels"),
        (len(shard[0]), len(shard[1]), "{} database items with {} rows of labels"),
    ):
        if left != right:
            raise BadInput(f"{unit.format(left, right)}; they must agree")


def from_slots(slots: Integers) -> Counts:
    """Counts from [queries, 2 * (bins)], where slot 2d counts irrelevant and 2d + 1 relevant items at distance d."""
    relevant = np.ascontiguousarray(slots[:, 1::2])
    return Counts(slots[:, ::2] + relevant, relevant)


def _blocks(shard: Shard) -> Iterator[Shard]:
    codes, labels = shard
    for start in range(0, len(codes), ITEMS):
        yield codes[start : start + ITEMS], labels[start : start + ITEMS]
