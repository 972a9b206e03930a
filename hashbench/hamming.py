"""Packed codes, and how many database items lie at each Hamming distance of a query."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ITEMS = 1 << 16  # database items, and
PAIRS = 1 << 20  # query-item pairs, that are looked at in one go

Bits = NDArray[np.bool_]
Words = NDArray[np.uint64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Counts:
    """Database items at each distance of each query: all, and the relevant ones.

    Both are integers of shape [queries, bits + 1]; column d counts the items at distance d. Counts of
    parts of a database add up to those of the whole.
    """

    items: Integers
    relevant: Integers

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.items + other.items, self.relevant + other.relevant)


def pack(bits: Bits) -> Words:
    """Rows of bits [n, width] as rows of 64-bit words, zeros behind the last bit."""
    padded = np.zeros((len(bits), -(-bits.shape[1] // 64) * 64), dtype=np.bool_)
    padded[:, : bits.shape[1]] = bits
    return np.packbits(padded, axis=1).view(np.uint64)


def count(query_codes: Bits, query_labels: Bits, codes: Bits, labels: Bits) -> Counts:
    """Count the database items at each Hamming distance of each query.

    Memory does not grow with queries x database.

    Args:
        query_codes: [queries, bits]; true where a code bit is +1.
        query_labels: [queries, classes]; an item is relevant if it shares a true class.
        codes: [items, bits].
        labels: [items, classes].
    """
    bins = codes.shape[1] + 1
    packed = pack(query_codes), pack(query_labels), pack(codes), pack(labels)
    block = min(len(codes), ITEMS)
    rows = max(1, PAIRS // max(block, 1))
    parts = []
    for first in range(0, len(query_codes), rows):
        one, two = packed[0][first : first + rows], packed[1][first : first + rows]
        part = Counts(*np.zeros((2, len(one), bins), dtype=np.int64))
        for start in range(0, len(codes), block):
            stop = start + block
            part += _count_block(one, two, packed[2][start:stop], packed[3][start:stop], bins)
        parts.append(part)
    return Counts(np.concatenate([p.items for p in parts]), np.concatenate([p.relevant for p in parts]))


def _count_block(query_codes: Words, query_labels: Words, codes: Words, labels: Words, bins: int) -> Counts:
    shape = len(query_codes), len(codes)
    slots = np.repeat(np.arange(shape[0]) * bins, shape[1]).reshape(shape)
    for word in range(codes.shape[1]):
        slots += np.bitwise_count(query_codes[:, None, word] ^ codes[None, :, word])
    relevant = np.zeros(shape, dtype=np.bool_)
    for word in range(labels.shape[1]):
        relevant |= (query_labels[:, None, word] & labels[None, :, word]) != 0
    return Counts(_histogram(slots.ravel(), shape[0], bins), _histogram(slots[relevant], shape[0], bins))


def _histogram(slots: Integers, rows: int, bins: int) -> Integers:
    return np.bincount(slots, minlength=rows * bins).reshape(rows, bins)
