"""Paired comparisons of two defenses over the same queries and seeds: intervals and p values.

Bootstrap: Efron & Tibshirani 1993; correction for several comparisons: Holm 1979; queries and seeds as crossed random
effects, like readers and cases of a diagnostic study: Dorfman, Berbaum & Metz 1992.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

DRAWS = 10_000  # resamples of the queries
LEVEL = 0.95  # of intervals
ALPHA = 1 - LEVEL
CHUNK = 4_000_000  # drawn queries held in memory at once


@dataclass(frozen=True)
class Estimates:
    """Mean differences [comparisons] with the bounds of their 95 % intervals and two-sided p values.

    p is below 0.05 where the interval excludes 0, up to the resolution of the draws: 2 / 10,001.
    """

    difference: Floats
    low: Floats
    high: Floats
    p: Floats


def estimate(differences: Floats, seed: int = 0, draws: int = DRAWS, least: float = -1.0) -> Estimates:
    """Mean paired differences, with intervals for other queries and other trainings.

    Queries are resampled with replacement, each with its difference averaged over seeds. With several seeds,
    differences between their means beyond the noise of single queries are taken for an effect of training: the square
    root of its share of the mean's variance, (MS_seeds - MS_residual) / (seeds * queries) or 0, times a draw from
    Student's t with seeds - 1 degrees of freedom, is added to each draw. Resampling a handful of seeds instead would
    give intervals too narrow where seeds differ, and too wide where they do not. With one seed the result holds for
    other queries of these two models, not for other trainings.

    Args:
        differences: finite values [comparisons, seeds, queries], at least two queries.
        seed: of the draws; the same draws serve all comparisons.
        draws: number of resamples.
        least: what no mean can be below: -1 for differences of APs, 0 for APs. None is above 1; intervals end there.

    >>> found = estimate(np.array([[[0.2, 0.4, 0.3, 0.5]]]), draws=1000)
    >>> round(float(found.difference[0]), 3), bool(found.low[0] > 0), bool(found.p[0] < 0.05)
    (0.35, True, True)
    """
    _, seeds, queries = differences.shape
    random = np.random.default_rng(seed)
    by_query = differences.mean(axis=1)
    mean = by_query.mean(axis=1)
    # A resample of n values varies (n - 1) / n times as much as their mean does.
    wider = np.sqrt(queries / (queries - 1))
    drawn = wider * _resampled_means(by_query - mean[:, None], draws, random)
    if seeds > 1:
        drawn += _seed_deviation(differences)[:, None] * random.standard_t(seeds - 1, draws)
    drawn += mean[:, None]
    low, high = np.clip(np.quantile(drawn, [ALPHA / 2, 1 - ALPHA / 2], axis=1), least, 1.0)
    tail = np.minimum((drawn <= 0).sum(axis=1), (drawn >= 0).sum(axis=1))
    return Estimates(mean, low, high, np.minimum(1, 2 * (tail + 1) / (draws + 1)))


def drawn_means(values: Sequence[Floats], seed: int = 0, trainings: int = 0, draws: int = DRAWS) -> Floats:
    """Means [rows, draws] for other queries and other trainings, to be compared with one another draw by draw.

    Queries are resampled as in `estimate`, the same ones for all rows. Each row of several seeds has an effect of
    training of its own, as in `estimate`, drawn for it alone, since each row was trained by itself.

    Args:
        values: of each row, finite values [seeds, queries]; of the same queries, at least two.
        seed: of the draws of queries; the same number for the same queries.
        trainings: with `seed`, the seed of the effects of training; another number for other models.
        draws: number of resamples.

    >>> found = drawn_means([np.array([[0.2, 0.4]]), np.array([[0.1, 0.3]])], draws=100)
    >>> found.shape, bool((found[0] > found[1]).all())
    ((2, 100), True)
    """
    by_query = np.stack([row.mean(axis=0) for row in values])
    mean, queries = by_query.mean(axis=1, keepdims=True), by_query.shape[1]
    found: Floats = mean + np.sqrt(queries / (queries - 1)) * _resampled_means(
        by_query - mean, draws, np.random.default_rng(seed)
    )
    random = np.random.default_rng([seed, trainings])
    for place, row in enumerate(values):
        if len(row) > 1:
            found[place] += _seed_deviation(row[None]) * random.standard_t(len(row) - 1, draws)
    return found


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction: p values, in their order, that hold for all comparisons jointly.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, (len(p_values) - rank) * p_values[place])
        corrected[place] = min(1.0, largest)
    return corrected


def _resampled_means(values: Floats, draws: int, random: np.random.Generator) -> Floats:
    """Means [rows, draws] of resamples of the columns of values [rows, columns]; one resample for all rows."""
    size = values.shape[1]
    step = max(1, CHUNK // size)
    parts = []
    for start in range(0, draws, step):
        rows = min(step, draws - start)
        places = random.integers(size, size=(rows, size)) + size * np.arange(rows)[:, None]
        times = np.bincount(places.ravel(), minlength=rows * size).reshape(rows, size)
        parts.append(values @ times.T.astype(np.float64) / size)
    return np.concatenate(parts, axis=1)


def _seed_deviation(differences: Floats) -> Floats:
    """Standard deviation [comparisons] of the mean difference that comes from the choice of seeds alone."""
    _, seeds, queries = differences.shape
    by_seed = differences.mean(axis=2, keepdims=True)
    by_query = differences.mean(axis=1, keepdims=True)
    mean = by_seed.mean(axis=1, keepdims=True)
    of_seeds = queries * ((by_seed - mean) ** 2).sum(axis=(1, 2)) / (seeds - 1)
    residual = ((differences - by_seed - by_query + mean) ** 2).sum(axis=(1, 2)) / ((seeds - 1) * (queries - 1))
    deviation: Floats = np.sqrt(np.maximum(0, of_seeds - residual) / (seeds * queries))
    return deviation
