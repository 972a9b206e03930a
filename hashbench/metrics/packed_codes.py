"""Codes and labels as bits, packed into words of 64."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Bits = NDArray[np.bool_]
Words = NDArray[np.uint64]
Integers = NDArray[np.int64]


def pack(bits: Bits) -> Words:
    """Rows of bits [n, width] as rows of at least one 64-bit word, zeros behind the last bit."""
    padded = np.zeros((len(bits), max(1, -(-bits.shape[1] // 64)) * 64), dtype=np.bool_)
    padded[:, : bits.shape[1]] = bits
    return np.packbits(padded, axis=1).view(np.uint64)
