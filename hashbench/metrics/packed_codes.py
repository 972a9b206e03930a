"""Codes and labels as bits, packed into words of 64 or of 32."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Bits = NDArray[np.bool_]
Words = NDArray[np.uint64]
ShortWords = NDArray[np.uint32]
Integers = NDArray[np.int64]


def pack(bits: Bits) -> Words:
    """Rows of bits [n, width] as rows of at least one 64-bit word, zeros behind the last bit."""
    padded = np.zeros((len(bits), max(1, -(-bits.shape[1] // 64)) * 64), dtype=np.bool_)
    padded[:, : bits.shape[1]] = bits
    return np.packbits(padded, axis=1).view(np.uint64)


def pack_short(bits: Bits) -> ShortWords:
    """Rows of bits [n, width] as rows of at least one 32-bit word, no more words than the bits need."""
    return np.ascontiguousarray(pack(bits).view(np.uint32)[:, : max(1, -(-bits.shape[1] // 32))])


def by_word(bits: Bits) -> ShortWords:
    """Packed bits as [words, n], so that the same word of neighbouring items is contiguous in memory."""
    return np.ascontiguousarray(pack_short(bits).T)
