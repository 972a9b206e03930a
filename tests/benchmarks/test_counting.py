"""Tie-aware AP from counts beside the usual way: sort each query's distances, then sum precisions.

`make bench` compares them in one run; the plain test run only checks that both agree where no tie matters.
"""

from __future__ import annotations

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from hashbench.hamming import Bits, count
from hashbench.metrics import Values, average_precision

Arrays = tuple[Bits, Bits, Bits, Bits]


@pytest.fixture(scope="module")
def arrays() -> Arrays:
    random = np.random.default_rng(0)
    labels = random.random((20_100, 21)) < 0.1
    codes = random.random((20_100, 32)) < 0.5
    return codes[:100], labels[:100], codes[100:], labels[100:]


def by_counts(query_codes: Bits, query_labels: Bits, codes: Bits, labels: Bits) -> Values:
    return average_precision(count(query_codes, query_labels, codes, labels)).expected


def by_sorting(query_codes: Bits, query_labels: Bits, codes: Bits, labels: Bits) -> Values:
    """Query by query with a sort, ties in the order of the database."""
    values = []
    for query, wanted in zip(2.0 * query_codes - 1, query_labels, strict=True):
        relevant = labels.astype(float) @ wanted > 0
        order = np.argsort((codes.shape[1] - (2.0 * codes - 1) @ query) / 2, kind="stable")
        ranks = np.flatnonzero(relevant[order]) + 1
        values.append((np.arange(1, len(ranks) + 1) / ranks).mean() if len(ranks) else np.nan)
    return np.array(values)


@pytest.mark.benchmark(group="AP of 100 queries against 20,000 items of 32 bits")
@pytest.mark.parametrize("way", [by_counts, by_sorting])
def test_speed_of_average_precision(benchmark: BenchmarkFixture, arrays: Arrays, way: object) -> None:
    found = benchmark(way, *arrays)
    bounds = average_precision(count(*arrays))
    assert (np.isnan(found) | ((bounds.low - 1e-12 <= found) & (found <= bounds.high + 1e-12))).all()
