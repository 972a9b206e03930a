"""AP against golden numbers, brute force over all orders of ties, Monte-Carlo, and a slow reference."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toys import golden

from hashbench.metrics.average_precision import (
    average_precision,
    chance,
    collapsed,
    precision_within,
    relevant_fraction,
)
from hashbench.metrics.distance_counts import Counts, count

KINDS = ("notie16", "notie48", "homog16", "homog48", "tie16", "tie48")


def golden_counts(arrays: dict[str, np.ndarray], kind: str) -> Counts:
    return count(*(arrays[f"{kind}_{name}"] > 0 for name in ("qB", "qL", "rB", "rL")))


def ranked_ap(relevance: list[int], at: int) -> Fraction:
    """AP@k of one ranking, by its definition."""
    hits = [
        Fraction(sum(relevance[: rank + 1]), rank + 1) for rank in range(min(at, len(relevance))) if relevance[rank]
    ]
    return sum(hits, Fraction(0)) / min(at, sum(relevance))


def counts_of(distances: list[int], relevance: list[int], bits: int = 4) -> Counts:
    items, relevant = np.zeros((1, bits + 1), dtype=np.int64), np.zeros((1, bits + 1), dtype=np.int64)
    for distance, hit in zip(distances, relevance, strict=True):
        items[0, distance] += 1
        relevant[0, distance] += hit
    return Counts(items, relevant)


@pytest.mark.parametrize("kind", ["notie16", "notie48", "homog16", "homog48"])
def test_equals_the_papers_ap_where_no_tie_matters(kind: str) -> None:
    arrays = golden("average_precision")
    ap = average_precision(golden_counts(arrays, kind))
    wanted = arrays[f"{kind}_ap"]
    for part in (ap.expected, ap.low, ap.high):
        np.testing.assert_allclose(np.nan_to_num(part), wanted, atol=1e-12)
    np.testing.assert_allclose(np.nan_to_num(ap.expected).mean(), arrays[f"{kind}_map"], atol=1e-12)


@pytest.mark.parametrize("kind", ["tiny16", "tiny48"])
def test_equals_the_papers_ap_over_all_orders_of_tiny_databases(kind: str) -> None:
    arrays = golden("average_precision")
    for case in range(len(arrays[f"{kind}_qB"])):
        query = [arrays[f"{kind}_{name}"][case : case + 1] > 0 for name in ("qB", "qL")]
        base = [arrays[f"{kind}_{name}"][case] > 0 for name in ("rB", "rL")]
        counts = count(*query, *base)
        ap = average_precision(counts)
        for part, name in ((ap.expected, "exp_ap"), (ap.low, "pess_ap"), (ap.high, "opt_ap")):
            np.testing.assert_allclose(np.nan_to_num(part[0]), arrays[f"{kind}_{name}"][case], atol=1e-10)
        for column, k in enumerate(arrays[f"{kind}_k"]):
            at_k = np.nan_to_num(average_precision(counts, int(k)).expected[0])
            np.testing.assert_allclose(at_k, arrays[f"{kind}_exp_ap_at_k"][case, column], atol=1e-10)


@pytest.mark.parametrize("kind", ["tie16", "tie48"])
def test_equals_the_reference_on_heavy_ties(kind: str) -> None:
    arrays = golden("average_precision")
    counts = golden_counts(arrays, kind)
    ap = average_precision(counts)
    for part, name in ((ap.expected, "exp_ap"), (ap.low, "pess_ap"), (ap.high, "opt_ap")):
        np.testing.assert_allclose(np.nan_to_num(part), arrays[f"{kind}_{name}"], atol=1e-9)
    for column, k in enumerate(arrays[f"{kind}_k"]):
        at_k = average_precision(counts, int(k)).expected
        np.testing.assert_allclose(np.nan_to_num(at_k), arrays[f"{kind}_exp_ap_at_k"][:, column], atol=1e-9)
    error = np.abs(np.nan_to_num(ap.expected) - arrays[f"{kind}_mc_ap"])
    assert (error <= 4 * arrays[f"{kind}_mc_ap_se"] + 1e-12).all()
    as_run = arrays[f"{kind}_map_as_run"]
    assert np.nan_to_num(ap.low).mean() <= as_run <= np.nan_to_num(ap.high).mean()


@settings(max_examples=30, deadline=None)
@given(
    items=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 1)), min_size=1, max_size=7).filter(
        lambda items: any(hit for _, hit in items)
    ),
    at=st.integers(1, 9),
)
def test_equals_brute_force_over_all_orders_of_ties(items: list[tuple[int, int]], at: int) -> None:
    orders = [
        [hit for _, hit in order]
        for order in itertools.permutations(items)
        if list(order) == sorted(order, key=lambda i: i[0])
    ]
    counts = counts_of([d for d, _ in items], [hit for _, hit in items])
    for cut in (None, at):
        values = [ranked_ap(order, cut or len(items)) for order in orders]
        ap = average_precision(counts, cut)
        assert ap.expected[0] == pytest.approx(float(sum(values) / len(values)), abs=1e-12)
        assert ap.low[0] == pytest.approx(float(min(values)), abs=1e-12)
        assert ap.high[0] == pytest.approx(float(max(values)), abs=1e-12)


def test_equals_monte_carlo_over_random_orders() -> None:
    random = np.random.default_rng(0)
    distances, relevance = random.integers(0, 5, 60), random.random(60) < 0.3
    ap = average_precision(counts_of(distances.tolist(), relevance.astype(int).tolist()))
    draws = []
    for _ in range(4000):
        order = np.argsort(distances + random.random(60) * 0.5)
        hits = relevance[order]
        draws.append((np.cumsum(hits) / np.arange(1, 61))[hits].mean())
    assert abs(ap.expected[0] - np.mean(draws)) < 4 * np.std(draws) / np.sqrt(len(draws))


def test_the_order_of_the_database_changes_no_digit() -> None:
    random = np.random.default_rng(0)
    query_codes, query_labels, codes, labels = (random.random((n, w)) < 0.3 for n in (9, 500) for w in (16, 5))
    ap = average_precision(count(query_codes, query_labels, codes, labels))
    for _ in range(5):
        order = random.permutation(500)
        shuffled = average_precision(count(query_codes, query_labels, codes[order], labels[order]))
        for one, two in ((ap.expected, shuffled.expected), (ap.low, shuffled.low), (ap.high, shuffled.high)):
            np.testing.assert_array_equal(one, two)


def test_a_constant_code_scores_exactly_chance() -> None:
    random = np.random.default_rng(0)
    query_labels, labels = random.random((9, 5)) < 0.4, np.sort(random.random((400, 5)) < 0.3, axis=0)
    real = count(random.random((9, 16)) < 0.5, query_labels, random.random((400, 16)) < 0.5, labels)
    constant = count(np.ones((9, 16), dtype=bool), query_labels, np.ones((400, 16), dtype=bool), labels)
    np.testing.assert_array_equal(average_precision(constant).expected, chance(real))
    np.testing.assert_array_equal(average_precision(constant, 10).expected, chance(real, 10))


def test_chance_is_the_mean_ap_of_random_rankings() -> None:
    random = np.random.default_rng(0)
    hits = [np.arange(50) < 8]
    draws = []
    for _ in range(4000):
        order = random.permutation(hits[0])
        draws.append((np.cumsum(order) / np.arange(1, 51))[order].mean())
    level = chance(Counts(np.array([[20, 30]]), np.array([[3, 5]])))[0]
    assert abs(level - np.mean(draws)) < 4 * np.std(draws) / np.sqrt(len(draws))


def test_chance_tends_to_the_relevant_fraction() -> None:
    counts = Counts(np.array([[500_000, 500_000]]), np.array([[1000, 299_000]]))
    assert chance(counts)[0] == pytest.approx(relevant_fraction(counts)[0], abs=2e-5)


def test_large_databases_lose_no_precision() -> None:
    """Against exact sums of fractions at 10 million items."""
    counts = Counts(np.array([[10_000_000, 3, 2]]), np.array([[7, 2, 1]]))
    tail = [Fraction(2, 3) * (Fraction(8) + t * Fraction(1, 2)) / (10_000_001 + t) for t in range(3)]
    tail += [Fraction(1, 2) * Fraction(10) / (10_000_004 + t) for t in range(2)]
    alone = average_precision(Counts(counts.items[:, :1], counts.relevant[:, :1])).expected[0] * 7
    wanted = (alone + float(sum(tail))) / 10
    assert average_precision(counts).expected[0] == pytest.approx(wanted, rel=1e-9)


def test_queries_without_relevant_items_have_no_ap() -> None:
    ap = average_precision(Counts(np.array([[3, 1]]), np.array([[0, 0]])))
    assert np.isnan(ap.expected[0])


def test_precision_within_a_radius() -> None:
    counts = Counts(np.array([[0, 2, 2, 5], [0, 0, 0, 9]]), np.array([[0, 1, 2, 0], [0, 0, 0, 9]]))
    np.testing.assert_allclose(precision_within(counts, 2), [0.75, 0])
    np.testing.assert_allclose(precision_within(counts, 0), [0, 0])


def test_collapsing_keeps_the_totals() -> None:
    counts = Counts(np.array([[1, 2, 3]]), np.array([[0, 1, 2]]))
    assert collapsed(counts).items.tolist() == [[6]]
    assert collapsed(counts).relevant.tolist() == [[3]]
