from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hashbench.errors import BadInput
from hashbench.metrics import distance_counts, distance_counts_numba, distance_counts_torch
from hashbench.metrics.distance_counts import Counts, count, count_shards
from hashbench.metrics.distance_counts_torch import count_by_products, count_tensors
from hashbench.metrics.packed_codes import Bits, by_word, pack, pack_short


def random_bits(random: np.random.Generator, rows: int, width: int) -> Bits:
    return random.random((rows, width)) < 0.5


def assert_equal(found: Counts, wanted: Counts) -> None:
    np.testing.assert_array_equal(found.items, wanted.items)
    np.testing.assert_array_equal(found.relevant, wanted.relevant)


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
    bits=st.sampled_from([1, 12, 32, 63, 64, 65, 130, 1024]),
    classes=st.sampled_from([1, 10, 64, 81]),
    seed=st.integers(0, 1000),
)
def test_counts_equal_the_slow_reference(queries: int, items: int, bits: int, classes: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    arrays = [random_bits(random, n, w) for n in (queries, items) for w in (bits, classes)]
    wanted, tensors = slow_count(*arrays), [torch.tensor(array) for array in arrays]
    for found in (count(*arrays), count_tensors(*tensors), count_by_products(*tensors)):
        assert_equal(found, wanted)


def quick_reference(query_codes: Bits, query_labels: Bits, codes: Bits, labels: Bits) -> Counts:
    """A query at a time, by products of whole numbers."""
    bins = codes.shape[1] + 1
    items, relevant = [], []
    for code, wanted in zip(query_codes, query_labels, strict=True):
        distances = (codes != code).sum(axis=1)
        shared = labels.astype(np.int64) @ wanted.astype(np.int64) > 0
        items.append(np.bincount(distances, minlength=bins))
        relevant.append(np.bincount(distances[shared], minlength=bins))
    return Counts(np.array(items), np.array(relevant))


@pytest.mark.parametrize("like", ["random", "all alike", "ten codes in a row"])
@pytest.mark.parametrize(
    ("items", "bits", "classes"),
    [
        (2_177, 32, 21),  # one item less than what is counted in pairs
        (2_178, 32, 21),
        (70_001, 32, 21),  # two blocks, an odd number
        (9_001, 64, 33),  # two words each
        (40_011, 128, 21),
        (40_011, 128, 200),  # pairs of items that no cache holds: one at a time
        (5_003, 200, 21),  # seven words: four, and the rest one by one
        (4_099, 512, 21),
    ],
)
def test_many_items_are_counted_as_few(items: int, bits: int, classes: int, like: str) -> None:
    random = np.random.default_rng(0)
    queries, wanted = random_bits(random, 3, bits), random.random((3, classes)) < 0.1
    labels = random.random((items, classes)) < 0.1
    if like == "random":
        codes = random_bits(random, items, bits)
    else:
        codes = random_bits(random, 10, bits)[np.arange(items) * 10 // items if like != "all alike" else [0] * items]
    assert_equal(count(queries, wanted, codes, labels), quick_reference(queries, wanted, codes, labels))


def test_blocks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    arrays = [random_bits(random, n, w) for n in (7, 1000) for w in (32, 10)]
    whole = count(*arrays)
    monkeypatch.setattr(distance_counts, "ITEMS", 64)
    monkeypatch.setattr(distance_counts_torch, "ITEMS", 64)
    monkeypatch.setattr(distance_counts_torch, "PAIRS", 100)
    assert_equal(count(*arrays), whole)
    assert_equal(count_by_products(*map(torch.tensor, arrays)), whole)


@pytest.mark.parametrize("threads", [1, 3, 16])
def test_threads_do_not_show(monkeypatch: pytest.MonkeyPatch, threads: int) -> None:
    random = np.random.default_rng(0)
    arrays = [random_bits(random, n, w) for n in (7, 1000) for w in (32, 10)]
    monkeypatch.setattr(numba.config, "NUMBA_NUM_THREADS", threads)
    monkeypatch.setattr(distance_counts_numba, "PAIRS", 1)
    assert_equal(count(*arrays), slow_count(*arrays))


@pytest.mark.parametrize(("items", "started"), [(1000, 0), (50_000, 2)])
def test_threads_start_only_for_work_that_is_worth_them(
    monkeypatch: pytest.MonkeyPatch, items: int, started: int
) -> None:
    random = np.random.default_rng(0)
    arrays = [random_bits(random, n, w) for n in (50, items) for w in (32, 10)]
    monkeypatch.setattr(numba.config, "NUMBA_NUM_THREADS", 16)
    pools: list[int] = []

    def pool(threads: int) -> ThreadPoolExecutor:
        pools.append(threads)
        return ThreadPoolExecutor(threads)

    monkeypatch.setattr(distance_counts_numba, "ThreadPoolExecutor", pool)
    assert_equal(count(*arrays), quick_reference(*arrays))
    assert sum(pools) == started


def test_queries_and_database_must_agree() -> None:
    a, b, c = (np.ones((3, width), dtype=np.bool_) for width in (8, 9, 2))
    with pytest.raises(BadInput, match="queries of 8 bits and a database of 9; they must agree"):
        count(a, c, b, c)
    with pytest.raises(BadInput, match="3 database items with 2 rows of labels"):
        count(a, c, a, c[:2])


def test_an_empty_database_counts_nothing() -> None:
    codes, labels = np.ones((3, 8), dtype=np.bool_), np.ones((3, 2), dtype=np.bool_)
    assert not count_shards(codes, labels, []).items.any()
    assert not count(codes, labels, codes[:0], labels[:0]).items.any()


def test_counts_of_parts_add_up() -> None:
    random = np.random.default_rng(0)
    query_codes, query_labels, codes, labels = (random_bits(random, n, w) for n in (7, 99) for w in (32, 10))
    halves = (count(query_codes, query_labels, codes[part], labels[part]) for part in (slice(40), slice(40, None)))
    whole = count(query_codes, query_labels, codes, labels)
    assert_equal(next(halves) + next(halves), whole)
    shards = ((codes[i::8], labels[i::8]) for i in range(8))
    assert_equal(count_shards(query_codes, query_labels, shards), whole)


def test_packing_keeps_every_bit() -> None:
    bits = random_bits(np.random.default_rng(0), 3, 70)
    words = pack(bits)
    assert words.shape == (3, 2)
    assert np.bitwise_count(words).sum() == bits.sum()
    short = pack_short(bits)
    assert short.shape == (3, 3)
    assert np.bitwise_count(short).sum() == bits.sum()
    assert pack_short(bits[:, :32]).shape == (3, 1)
    assert pack_short(bits[:, :0]).shape == (3, 1)
    assert (by_word(bits) == short.T).all()
