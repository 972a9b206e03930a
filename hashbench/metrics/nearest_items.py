"""Which database items are nearest to a query."""

from __future__ import annotations

from hashbench.errors import BadInput
from hashbench.metrics.packed_codes import Bits, Integers, by_word, pack_short


def nearest_items(query_codes: Bits, codes: Bits, top: int) -> Integers:
    """Positions [queries, top] of the items nearest to each query, in order; at the same distance the first position.

    Nothing is sorted: items are counted by distance, which tells the radius of the last one wanted, and those within
    it are put where the counts say. Takes all cores.

    Args:
        query_codes: [queries, bits]; true where a code bit is +1.
        codes: [items, bits].
        top: how many are wanted; all if there are fewer items.

    Raises:
        BadInput: the numbers of bits differ.

    >>> import numpy as np
    >>> items = np.array([[True, True], [False, False], [True, False], [True, True]])
    >>> nearest_items(items[:2], items, 3)
    array([[0, 3, 2],
           [1, 2, 0]])
    """
    from hashbench.metrics.nearest_items_numba import find  # loads a compiler

    if query_codes.shape[1] != codes.shape[1]:
        raise BadInput(f"queries of {query_codes.shape[1]} bits and a database of {codes.shape[1]}; they must agree")
    return find(pack_short(query_codes), by_word(codes), min(top, len(codes)))
