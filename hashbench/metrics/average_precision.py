"""Retrieval quality as functions of per-distance counts.

Nothing is sorted, so the order of the database can't affect a number. Items at one distance are tied: the main number
is the expectation over all their orders (McSherry & Najork, ECIR 2008; He et al., CVPR 2018), and the bounds are the
best and the worst of these orders.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma

from hashbench.metrics.distance_counts import Counts

FAR = 1000.0  # items; beyond this the series is exact to double precision

Values = NDArray[np.float64]


@dataclass(frozen=True)
class AveragePrecision:
    """AP of each query: expected over the orders of tied items, in the worst order and in the best.

    All have shape [queries] and lie in [0, 1]; NaN where a query has no relevant item.
    """

    expected: Values
    low: Values
    high: Values


def average_precision(counts: Counts, at: int | None = None) -> AveragePrecision:
    """AP of each query, with its bounds; AP@k where `at` is k.

    With R relevant items, AP = 1/R * the sum of the precisions at the ranks of relevant items, and
    AP@k the same sum over the first k ranks divided by min(k, R).

    With P relevant among the N items nearer than a distance that holds C items, r of them relevant,
    the expected precision at its t-th place is (P + 1 + (t-1) s) / (N + t), s = (r-1)/(C-1), times the
    chance r/C that a relevant item stands there. The sum over t <= T is, in harmonic numbers H,
    (P + 1 - s (N+1)) (H(N+T) - H(N)) + s T.

    >>> counts = Counts(np.array([[1, 2]]), np.array([[0, 1]]))  # an irrelevant item, then a tie of two
    >>> ap = average_precision(counts)
    >>> ap.low.round(3), ap.expected.round(3), ap.high.round(3)
    (array([0.333]), array([0.417]), array([0.5]))
    """
    items, relevant = counts.items.astype(np.float64), counts.relevant.astype(np.float64)
    nearer = np.cumsum(items, axis=1) - items
    hits = np.cumsum(relevant, axis=1) - relevant
    total = relevant.sum(axis=1)
    ranks = items.sum(axis=1) if at is None else np.full_like(total, at)
    places = np.clip(ranks[:, None] - nearer, 0, items)  # of this distance, within the cut

    slope = np.divide(relevant - 1, items - 1, out=np.zeros_like(items), where=items > 1)
    share = np.divide(relevant, items, out=np.zeros_like(items), where=items > 0)
    start = hits + 1 - slope * (nearer + 1)
    expected = share * (start * _harmonic(nearer, places) + slope * places)

    first = np.minimum(relevant, places)
    high = first + (hits - nearer) * _harmonic(nearer, first)
    irrelevant = items - relevant
    last = np.clip(places - irrelevant, 0, None)
    low = last + (hits - nearer - irrelevant) * _harmonic(nearer + irrelevant, last)

    divisor = np.minimum(total, ranks)
    divisor[total == 0] = np.nan
    return AveragePrecision(*(part.sum(axis=1) / divisor for part in (expected, low, high)))


def chance(counts: Counts, at: int | None = None) -> Values:
    """Expected AP of a random ranking, per query.

    It is what a constant code scores, where all items are tied, and what random codes score on average. For a large
    database it tends to the relevant fraction.

    >>> chance(Counts(np.array([[1, 2]]), np.array([[0, 1]]))).round(3)
    array([0.611])
    """
    return average_precision(collapsed(counts), at).expected


def collapsed(counts: Counts) -> Counts:
    """The counts of a model that gives every image the same code."""
    return Counts(counts.items.sum(axis=1, keepdims=True), counts.relevant.sum(axis=1, keepdims=True))


def precision_within(counts: Counts, radius: int) -> Values:
    """Share of relevant items among those within a Hamming radius, per query; 0 if there are none.

    >>> precision_within(Counts(np.array([[1, 3, 4]]), np.array([[1, 2, 0]])), radius=1)
    array([0.75])
    """
    found = counts.items[:, : radius + 1].sum(axis=1).astype(np.float64)
    hits = counts.relevant[:, : radius + 1].sum(axis=1)
    return np.asarray(np.divide(hits, found, out=np.zeros_like(found), where=found > 0))


def relevant_fraction(counts: Counts) -> Values:
    """Share of relevant items in the database, per query.

    >>> relevant_fraction(Counts(np.array([[1, 3]]), np.array([[1, 0]])))
    array([0.25])
    """
    return np.asarray(counts.relevant.sum(axis=1) / counts.items.sum(axis=1))


def _harmonic(start: Values, length: Values) -> Values:
    """1/(start+1) + ... + 1/(start+length).

    For a large start the difference of two digammas would lose precision, so there it is the difference of their
    Euler-Maclaurin series, term by term.
    """
    stop = start + length
    far = np.maximum(start, FAR)
    end = np.maximum(stop, FAR)
    series = np.log1p((end - far) / far) - (end - far) / (2 * far * end)
    series += (end - far) * (end + far) / (12 * far**2 * end**2) - (1 / far**4 - 1 / end**4) / 120
    return np.asarray(np.where(start < FAR, digamma(stop + 1) - digamma(start + 1), series))
