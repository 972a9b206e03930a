"""Bounds of AP against brute force over the free bits, on codes drawn at random."""

from __future__ import annotations

import importlib.util
import itertools
from typing import Any

import numba
import numpy as np
import pytest

from hashbench.certification import precision_bounds as module
from hashbench.certification import precision_kernel
from hashbench.certification.precision_bounds import Items, PrecisionBound, precision_bounds
from hashbench.errors import BadInput
from hashbench.metrics.average_precision import AveragePrecision, average_precision
from hashbench.metrics.distance_counts import count
from hashbench.metrics.packed_codes import Bits

Case = tuple[Bits, Bits, Bits, Bits, Bits]  # code, fixed bits, labels of one query; codes and labels of a database


def case(seed: int, free: int, bits: int = 32, items: int = 60, noise: float = 0.2) -> Case:
    random = np.random.default_rng(seed)
    centers = random.random((3, bits)) < 0.5
    classes = random.integers(0, 3, items)
    codes = centers[classes] ^ (random.random((items, bits)) < noise)
    labels = np.eye(3, dtype=bool)[classes] | (random.random((items, 3)) < 0.1)
    fixed = np.ones((1, bits), dtype=bool)
    fixed[0, random.choice(bits, free, replace=False)] = False
    return centers[:1] ^ (random.random((1, bits)) < 0.1), fixed, np.eye(3, dtype=bool)[:1], codes, labels


def brute_force(given: Case) -> AveragePrecision:
    """AP for every setting of the free bits."""
    code, fixed, labels, codes, database_labels = given
    settings = np.array(list(itertools.product([False, True], repeat=int((~fixed).sum()))))
    every = np.repeat(code, len(settings), axis=0)
    every[:, ~fixed[0]] = settings
    return average_precision(count(every, np.repeat(labels, len(settings), axis=0), codes, database_labels))


def bound(given: Case, *, highest: bool = False, nodes: int = 256) -> PrecisionBound:
    code, fixed, labels, codes, database_labels = given
    return precision_bounds(code, fixed, labels, Items(codes, database_labels), highest=highest, nodes=nodes)[0]


def interval_bound(given: Case) -> float:
    """The loose bound that takes each distance for an interval of its own, written down independently."""
    code, fixed, labels, codes, database_labels = given
    far = ((codes != code) & fixed).sum(1)
    relevant = (database_labels & labels).any(1)
    before = np.sort([(far[~relevant] <= one + (~fixed).sum()).sum() for one in far[relevant]])
    ranks = np.arange(1, len(before) + 1)
    return float((ranks / (ranks + before)).mean())


@pytest.mark.parametrize("bits", [5, 32, 64, 70])
@pytest.mark.parametrize("free", [0, 1, 4])
def test_few_free_bits_give_the_exact_extremes(bits: int, free: int) -> None:
    for seed in range(10):
        given = case(seed, free, bits)
        found = brute_force(given)
        low, high = bound(given), bound(given, highest=True)
        assert low.way == high.way == "exact"
        np.testing.assert_allclose([low.value, high.value], [found.low.min(), found.high.max()], rtol=1e-12)


def test_every_stage_of_the_search_is_valid_and_the_last_is_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ENUMERATED", 0)
    monkeypatch.setattr(module, "LEAF", 2)
    for seed, highest in itertools.product(range(15), (False, True)):
        given = case(seed, 8)
        found = brute_force(given)
        exact = found.high.max() if highest else found.low.min()
        values = [bound(given, highest=highest, nodes=nodes).value for nodes in (1, 8, 32, 100000)]
        signed = [value if not highest else -value for value in [*values, exact]]
        assert all(one <= two + 1e-12 for one, two in itertools.pairwise(signed))
        assert abs(values[-1] - exact) < 1e-12
        assert bound(given, highest=highest, nodes=1).way == "shared"
        assert bound(given, highest=highest, nodes=100000).way == "exact"


def test_shared_bits_lose_little_and_intervals_of_distances_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ENUMERATED", 0)
    means = {}
    for free in (4, 6, 8):
        cases = [case(seed, free, noise=0.15) for seed in range(60)]
        exact = np.mean([brute_force(one).low.min() for one in cases])
        shared = np.mean([bound(one, nodes=1).value for one in cases])
        means[free] = float(exact), float(shared), float(np.mean([interval_bound(one) for one in cases]))
        assert means[free][2] < means[free][1] <= means[free][0]
    assert means[4][0] - means[4][1] < 0.03
    assert means[8][1] - means[8][2] > 0.15


def test_queries_that_are_alike_are_bounded_once_and_others_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    code, fixed, labels, codes, database_labels = case(3, 4)
    other_free, other_fixed, other_mask = code.copy(), code.copy(), fixed.copy()
    other_free[0, np.flatnonzero(~fixed[0])[0]] ^= True
    other_fixed[0, np.flatnonzero(fixed[0])] ^= True
    other_mask[0, np.flatnonzero(fixed[0])[:3]] = False
    many = np.concatenate([code, other_free, other_fixed, code, code])
    masks = np.concatenate([fixed, fixed, fixed, other_mask, fixed])
    wanted = np.concatenate([np.repeat(labels, 4, axis=0), np.roll(labels, 1, axis=1)])
    apart = [bound((many[n : n + 1], masks[n : n + 1], wanted[n : n + 1], codes, database_labels)) for n in range(5)]
    solved, calls = module._solve, []

    def counted(one: module._Case, nodes: int) -> PrecisionBound:
        calls.append(one)
        return solved(one, nodes)

    monkeypatch.setattr(module, "_solve", counted)
    items = Items(codes, database_labels)
    assert precision_bounds(many, masks, wanted, items, nodes=256) == apart
    assert len(calls) == 4
    assert len({found.value for found in apart}) == 4
    assert precision_bounds(many, masks, wanted, items, nodes=256, highest=True)[0] != apart[0]


def test_items_of_equal_code_and_labels_count_each() -> None:
    code, fixed, labels, codes, database_labels = case(0, 5, items=20)
    many = np.repeat(codes, 3, axis=0), np.repeat(database_labels, 3, axis=0)
    given = code, fixed, labels, *many
    assert abs(bound(given).value - brute_force(given).low.min()) < 1e-12
    assert len(Items(*many).counts) == len(Items(codes, database_labels).counts)


def test_no_relevant_item_is_no_number_and_only_relevant_ones_are_perfect() -> None:
    code, fixed, labels, codes, database_labels = case(0, 5)
    none, every = np.zeros_like(database_labels), np.ones_like(database_labels)
    assert np.isnan(bound((code, fixed, labels, codes, none)).value)
    assert bound((code, fixed, labels, codes, every)).value == 1


def test_all_bits_free_leave_a_bound_above_the_worst_ranking() -> None:
    code, fixed, labels, codes, database_labels = case(1, 32)
    found = bound((code, fixed, labels, codes, database_labels))
    relevant = int((database_labels & labels).any(1).sum())
    ranks = np.arange(1, relevant + 1)
    assert found.value >= (ranks / (ranks + len(codes) - relevant)).mean() - 1e-12
    flipped = average_precision(count(~code, labels, codes, database_labels)).low[0]
    assert found.value <= flipped + 1e-12


def test_widths_that_do_not_agree_are_refused() -> None:
    code, fixed, labels, codes, database_labels = case(1, 3)
    with pytest.raises(BadInput, match="32 bits and 3 classes, a database of 31"):
        bound((code, fixed, labels, codes[:, 1:], database_labels))
    with pytest.raises(BadInput, match="rows of labels"):
        Items(codes[1:], database_labels)


def test_where_no_folder_can_keep_what_is_compiled_it_is_compiled_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = numba.njit

    def without_folder(*given: Any, **options: Any) -> Any:
        if options.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return plain(*given, **options)

    monkeypatch.setattr(numba, "njit", without_folder)
    spec = importlib.util.spec_from_file_location("kernel_without_cache", str(precision_kernel.__file__))
    assert spec
    assert spec.loader
    again = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(again)
    given = np.array([2, 0]), np.array([1, 2])
    assert again.mean_precision(*given) == precision_kernel.mean_precision(*given) == pytest.approx((2 + 3 / 5) / 3)
