from __future__ import annotations

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hashbench.errors import BadInput
from hashbench.metrics import distance_counts_numba
from hashbench.metrics.nearest_items import nearest_items


@settings(max_examples=40, deadline=None)
@given(
    queries=st.integers(1, 5),
    items=st.integers(1, 300),
    bits=st.sampled_from([1, 5, 32, 33, 64, 200]),
    top=st.integers(0, 320),
    seed=st.integers(0, 1000),
)
def test_the_nearest_are_the_first_of_a_stable_sort(queries: int, items: int, bits: int, top: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    asked, codes = random.random((queries, bits)) < 0.5, random.random((items, bits)) < 0.5
    distances = (asked[:, None] != codes).sum(axis=2)
    wanted = np.argsort(distances, axis=1, kind="stable")[:, :top]
    np.testing.assert_array_equal(nearest_items(asked, codes, top), wanted)


@pytest.mark.parametrize("threads", [1, 3, 16])
def test_threads_do_not_show(monkeypatch: pytest.MonkeyPatch, threads: int) -> None:
    random = np.random.default_rng(0)
    asked, codes = random.random((7, 32)) < 0.5, random.random((3_000, 32)) < 0.5
    wanted = np.argsort((asked[:, None] != codes).sum(axis=2), axis=1, kind="stable")[:, :100]
    monkeypatch.setattr(numba.config, "NUMBA_NUM_THREADS", threads)
    monkeypatch.setattr(distance_counts_numba, "PAIRS", 1)
    np.testing.assert_array_equal(nearest_items(asked, codes, 100), wanted)
    assert nearest_items(asked[:0], codes, 100).shape == (0, 100)


def test_codes_must_have_the_same_width() -> None:
    with pytest.raises(BadInput, match="queries of 8 bits and a database of 9; they must agree"):
        nearest_items(np.ones((1, 8), dtype=np.bool_), np.ones((1, 9), dtype=np.bool_), 1)
