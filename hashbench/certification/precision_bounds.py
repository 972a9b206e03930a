"""From fixed and free bits of a query's code to bounds of its average precision.

All database items see the same settings of the free bits. So an irrelevant item can come to precede a relevant
one only if its lead on the fixed bits is no smaller than minus the distance of the two codes on the free bits;
the count of such items for each relevant one, sorted, bounds the AP (the shared-bit bound). For few free bits all
settings are tried, and between both the settings are searched by branch and bound.
"""

from __future__ import annotations

import hashlib
import heapq
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from hashbench.certification import precision_kernel as kernel
from hashbench.errors import BadInput
from hashbench.metrics.packed_codes import Bits, Integers, Words, pack

ENUMERATED = 12  # free bits up to which all settings are tried
LEAF = 6  # free bits from which on a branch is finished by trying all settings
NODES = 64  # branches that are looked at for one query
PAIRS = 1 << 26  # pairs of groups that are looked at for one query, over all its branches

Way = Literal["exact", "search", "shared"]


@dataclass(frozen=True)
class PrecisionBound:
    """A bound of one query's AP, NaN without a relevant item, and how it was found.

    `exact`: it is attained by a setting of the free bits. `search`: branch and bound ended at its limit;
    `shared`: the shared-bit bound, where even that search is too long.
    """

    value: float
    way: Way


@dataclass(frozen=True)
class Groups:
    """Database items that a query can't tell apart: mismatches on the fixed bits, codes, number of items."""

    far: Integers
    codes: Words
    sizes: Integers

    def fix(self, mask: Words, word: int, bit: np.uint64, value: int) -> Groups:
        """The groups when one more bit of the query is fixed to a value."""
        differs = ((self.codes[:, word] >> bit) & np.uint64(1)) != value
        return merged(self.far + differs, self.codes, self.sizes, mask)


class Items:
    """A database, its items of equal code and labels counted once.

    It keeps the bounds found on it, for queries that are alike in relevant items, free bits and what fixed bits hold.

    Args:
        codes: true where a code bit is +1 [items, bits].
        labels: [items, classes].

    Raises:
        BadInput: the rows of both differ in number.
    """

    def __init__(self, codes: Bits, labels: Bits) -> None:
        if len(codes) != len(labels):
            raise BadInput(f"{len(codes)} database codes with {len(labels)} rows of labels; they must agree")
        self.bits = codes.shape[1]
        both = np.concatenate([codes, labels], axis=1)
        distinct, counts = np.unique(np.packbits(both, axis=1), axis=0, return_counts=True)
        rows = np.unpackbits(distinct, axis=1, count=both.shape[1]).astype(bool)
        self.codes, self.labels = pack(rows[:, : self.bits]), rows[:, self.bits :]
        self.counts: Integers = counts.astype(np.int64)
        self.known: dict[bytes, PrecisionBound] = {}


@dataclass(frozen=True)
class _Case:
    """One query's items, relevant and irrelevant, and its free bits by their places in packed codes."""

    relevant: Groups
    others: Groups
    mask: Words
    free: tuple[int, ...]
    bits: int
    highest: bool

    @property
    def pairs(self) -> int:
        return max(1, len(self.relevant.far) * len(self.others.far))

    def shared(self) -> float:
        one, two = self.relevant, self.others
        return float(
            kernel.shared_bits(one.far, one.codes, one.sizes, two.far, two.codes, two.sizes, self.mask, self.highest)
        )

    def exact(self) -> float:
        one, two = self.relevant, self.others
        given = (one.far, one.codes, one.sizes, two.far, two.codes, two.sizes, self.mask)
        return float(kernel.enumerated(*given, self.bits, self.highest))

    def branches(self) -> list[_Case]:
        """The case with its most telling free bit fixed to 0, and to 1."""
        one, two = self.relevant, self.others
        leans = kernel.leans(one.codes, one.sizes, two.codes, two.sizes)
        bit = max(self.free, key=lambda place: abs(leans[place]))
        word, place = bit // 64, np.uint64(bit % 64)
        mask = self.mask.copy()
        mask[word] &= ~(np.uint64(1) << place)
        rest = tuple(other for other in self.free if other != bit)
        return [
            replace(
                self,
                relevant=one.fix(mask, word, place, value),
                others=two.fix(mask, word, place, value),
                mask=mask,
                free=rest,
            )
            for value in (0, 1)
        ]


def precision_bounds(
    codes: Bits, fixed: Bits, labels: Bits, items: Items, *, highest: bool = False, nodes: int = NODES
) -> list[PrecisionBound]:
    """What the AP of each query does not fall below, whatever its free bits are, in the worst order of ties.

    It bounds the expected AP too. `highest` turns it round: what AP does not exceed, in the best order of ties.

    Args:
        codes: the queries' codes; what free bits hold does not matter [queries, bits].
        fixed: the bits that no attack can change [queries, bits].
        labels: of the queries, or those that a targeted attack wants retrieved [queries, classes].
        nodes: branches that may be looked at for one query.

    Raises:
        BadInput: the widths of queries and database differ.
    """
    if codes.shape[1] != items.bits or labels.shape[1] != items.labels.shape[1]:
        raise BadInput(
            f"queries of {codes.shape[1]} bits and {labels.shape[1]} classes, a database of {items.bits} and "
            f"{items.labels.shape[1]}; they must agree"
        )
    packed, masks = pack(codes), pack(~fixed)
    relevance = (labels.astype(np.float32) @ items.labels.T.astype(np.float32)) > 0
    found = []
    for code, mask, relevant in zip(packed, masks, relevance, strict=True):
        if not relevant.any():
            found.append(PrecisionBound(float("nan"), "exact"))
            continue
        alike = b"".join([(code & ~mask).tobytes(), mask.tobytes(), relevant.tobytes(), f"{highest} {nodes}".encode()])
        name = hashlib.blake2b(alike).digest()
        if name not in items.known:
            items.known[name] = _solve(_case(code, mask, relevant, items, highest), nodes)
        found.append(items.known[name])
    return found


def _case(code: Words, mask: Words, relevant: Bits, items: Items, highest: bool) -> _Case:
    far = distances(code, items.codes, ~mask)
    one, two = (merged(far[rows], items.codes[rows], items.counts[rows], mask) for rows in (relevant, ~relevant))
    return _Case(one, two, mask, places(mask), items.bits, highest)


def distances(code: Words, codes: Words, mask: Words) -> Integers:
    """Hamming distance of one code to others on the bits of a mask [codes]."""
    found: Integers = np.bitwise_count((codes ^ code) & mask).sum(axis=1).astype(np.int64)
    return found


def places(mask: Words) -> tuple[int, ...]:
    """The places of a mask's ones, 64 to a word."""
    shifts = np.arange(64, dtype=np.uint64)
    return tuple(map(int, np.flatnonzero((mask[:, None] >> shifts) & np.uint64(1))))


def merged(far: Integers, codes: Words, sizes: Integers, mask: Words) -> Groups:
    """Groups of items alike in mismatches and on the bits of a mask."""
    rows = np.concatenate([far.astype(np.uint64)[:, None], codes & mask], axis=1)
    order = np.lexsort(rows.T)
    rows, sizes = rows[order], sizes[order]
    starts = np.flatnonzero(np.concatenate([[True], (rows[1:] != rows[:-1]).any(axis=1)])) if len(rows) else order
    totals = np.add.reduceat(sizes, starts) if len(rows) else sizes
    rows = rows[starts]
    return Groups(rows[:, 0].astype(np.int64), np.ascontiguousarray(rows[:, 1:]), totals.astype(np.int64))


def _solve(case: _Case, nodes: int) -> PrecisionBound:
    if len(case.free) <= ENUMERATED:
        return PrecisionBound(case.exact(), "exact")
    nodes = min(nodes, PAIRS // case.pairs)
    if nodes < 2:
        return PrecisionBound(case.shared(), "shared")
    return _search(case, nodes)


def _search(case: _Case, nodes: int) -> PrecisionBound:
    """Best first: the branch that leaves most to the attacker is split, until it has no free bit left to split.

    Every open branch has a valid bound of its own, so the most extreme one holds for all at any time.
    """
    sign = -1.0 if case.highest else 1.0
    heap = [(sign * case.shared(), 0, case)]
    number = 0
    while number < nodes:
        bound, _, part = heapq.heappop(heap)
        if not part.free:
            return PrecisionBound(sign * bound, "exact")
        for branch in [replace(part, free=())] if len(part.free) <= LEAF else part.branches():
            number += 1
            value = sign * (part.exact() if not branch.free else branch.shared())
            heapq.heappush(heap, (max(bound, value), number, branch))
    bound, _, part = heap[0]
    return PrecisionBound(sign * bound, "search" if part.free else "exact")
