"""The compiled loops behind bounds of average precision.

Database items that look alike to a query are one *group*: their mismatches with the query's fixed bits, their
code on the free bits, and whether they are relevant. Integers throughout, so that no order shows in a result.
"""

from __future__ import annotations

import numpy as np

from hashbench.metrics.average_precision import Values
from hashbench.metrics.distance_counts_numba import compiled, ones
from hashbench.metrics.packed_codes import Integers, Words


@compiled
def mean_precision(before: Integers, sizes: Integers) -> float:
    """1/R * sum over ranks r of r / (r + before), with the groups' numbers of irrelevant items sorted ascending."""
    order = np.argsort(before)
    rank, total = 0, 0.0
    for place in order:
        for _ in range(sizes[place]):
            rank += 1
            total += rank / (rank + before[place])
    return total / rank


@compiled
def apart(one: Words, other: Words, mask: Words) -> np.int64:
    """Hamming distance on the bits of a mask."""
    found = np.uint64(0)
    for word in range(len(mask)):
        found += ones((one[word] ^ other[word]) & mask[word])
    return np.int64(found)


@compiled
def shared_bits(
    far: Integers,
    codes: Words,
    sizes: Integers,
    far_others: Integers,
    others: Words,
    other_sizes: Integers,
    mask: Words,
    highest: bool,
) -> float:
    """The shared-bit bound: of the lowest AP over all settings of the free bits, or of the highest.

    Args:
        far: mismatches of relevant groups on the fixed bits [groups].
        codes: their codes [groups, words].
        sizes: items in each [groups].
        far_others: the same of irrelevant groups, and so on.
        mask: the free bits [words].
        highest: bound the highest AP from above, in the best order of ties; otherwise the lowest from below, in
            the worst order.
    """
    before = np.zeros(len(far), dtype=np.int64)
    for group in range(len(far)):
        found = 0
        for other in range(len(far_others)):
            shared = apart(codes[group], others[other], mask)
            lead = far_others[other] - far[group]
            ahead = lead < -shared if highest else lead <= shared
            found += other_sizes[other] if ahead else 0
        before[group] = found
    return mean_precision(before, sizes)


@compiled
def enumerated(
    far: Integers,
    codes: Words,
    sizes: Integers,
    far_others: Integers,
    others: Words,
    other_sizes: Integers,
    mask: Words,
    width: int,
    highest: bool,
) -> float:
    """The lowest AP over all settings of the free bits in the worst order of ties; or the highest in the best.

    Arguments are those of `shared_bits`, and the number of bits of a code; at most 31 bits are free.
    """
    places = np.zeros(64, dtype=np.int64)
    free = 0
    for bit in range(64 * len(mask)):
        if (mask[bit // 64] >> np.uint64(bit % 64)) & np.uint64(1):
            places[free] = bit
            free += 1
    near, other_near = gathered(codes, places, free), gathered(others, places, free)
    best = 0.0 if highest else 1.0
    hits, misses = np.zeros(width + 1, dtype=np.int64), np.zeros(width + 1, dtype=np.int64)
    for setting in range(1 << free):
        hits[:], misses[:] = 0, 0
        for group in range(len(far)):
            hits[far[group] + np.int64(ones(np.uint64(near[group] ^ setting)))] += sizes[group]
        for group in range(len(far_others)):
            misses[far_others[group] + np.int64(ones(np.uint64(other_near[group] ^ setting)))] += other_sizes[group]
        found = from_counts(hits, misses, highest)
        best = max(best, found) if highest else min(best, found)
    return best


@compiled
def gathered(codes: Words, places: Integers, free: int) -> Integers:
    """The free bits of each code side by side, as one number [groups]."""
    found = np.zeros(len(codes), dtype=np.int64)
    for group in range(len(codes)):
        for bit in range(free):
            place = places[bit]
            value = (codes[group, place // 64] >> np.uint64(place % 64)) & np.uint64(1)
            found[group] |= np.int64(value) << bit
    return found


@compiled
def from_counts(hits: Integers, misses: Integers, highest: bool) -> float:
    """AP of relevant and irrelevant items at each distance, in the best order of ties or in the worst."""
    rank, ahead, total = 0, 0, 0.0
    for distance in range(len(hits)):
        if not highest:
            ahead += misses[distance]
        for _ in range(hits[distance]):
            rank += 1
            total += rank / (rank + ahead)
        if highest:
            ahead += misses[distance]
    return total / rank


@compiled
def leans(codes: Words, sizes: Integers, others: Words, other_sizes: Integers) -> Values:
    """Difference of the share of ones of relevant and of irrelevant items, for each place [64 * words]."""
    found = np.zeros(64 * codes.shape[1])
    for bit in range(len(found)):
        word, place = bit // 64, np.uint64(bit % 64)
        one, other = 0, 0
        for group in range(len(codes)):
            one += sizes[group] if (codes[group, word] >> place) & np.uint64(1) else 0
        for group in range(len(others)):
            other += other_sizes[group] if (others[group, word] >> place) & np.uint64(1) else 0
        found[bit] = one / max(1, sizes.sum()) - other / max(1, other_sizes.sum())
    return found
