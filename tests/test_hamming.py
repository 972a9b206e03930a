from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hashbench import hamming
from hashbench.hamming import Bits, Counts, count, pack


def random_bits(random: np.random.Generator, rows: int, width: int) -> Bits:
    return random.random((rows, width)) < 0.5


def slow_count(query_codes: Bits, query_labels: Bits, codes: Bits, labels: Bits) -> Counts:
    """One pair at a time, without packing."""
    shape = (len(query_codes), codes.shape[1] + 1)
    items, relevant = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    for query in range(len(query_codes)):
        for item in range(len(codes)):
            distance = int((query_codes[query] != codes[item]).sum())
            items[query, distance] += 1
            relevant[query, distance] += bool((query_labels[query] & labels[item]).any())
    return Counts(items, relevant)


@settings(max_examples=25, deadline=None)
@given(
    queries=st.integers(1, 5),
    items=st.integers(1, 30),
    bits=st.sampled_from([1, 12, 32, 63, 64, 65, 130]),
    classes=st.sampled_from([1, 10, 64, 81]),
    seed=st.integers(0, 1000),
)
def test_counts_equal_the_slow_reference(queries: int, items: int, bits: int, classes: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    arrays = [random_bits(random, n, w) for n in (queries, items) for w in (bits, classes)]
    found, wanted = count(*arrays), slow_count(*arrays)
    np.testing.assert_array_equal(found.items, wanted.items)
    np.testing.assert_array_equal(found.relevant, wanted.relevant)


def test_blocks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    arrays = [random_bits(random, n, w) for n in (7, 1000) for w in (32, 10)]
    whole = count(*arrays)
    monkeypatch.setattr(hamming, "ITEMS", 64)
    monkeypatch.setattr(hamming, "PAIRS", 100)
    found = count(*arrays)
    np.testing.assert_array_equal(found.items, whole.items)
    np.testing.assert_array_equal(found.relevant, whole.relevant)


def test_counts_of_parts_add_up() -> None:
    random = np.random.default_rng(0)
    query_codes, query_labels, codes, labels = (random_bits(random, n, w) for n in (7, 99) for w in (32, 10))
    halves = (count(query_codes, query_labels, codes[part], labels[part]) for part in (slice(40), slice(40, None)))
    total = next(halves) + next(halves)
    whole = count(query_codes, query_labels, codes, labels)
    np.testing.assert_array_equal(total.items, whole.items)
    np.testing.assert_array_equal(total.relevant, whole.relevant)


def test_packing_keeps_every_bit() -> None:
    bits = random_bits(np.random.default_rng(0), 3, 70)
    words = pack(bits)
    assert words.shape == (3, 2)
    assert np.bitwise_count(words).sum() == bits.sum()
