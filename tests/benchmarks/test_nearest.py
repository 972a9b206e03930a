"""The nearest items of queries beside a product of signs and torch's own search.

Apart from the counts, whose peak memory is measured in a process without torch.
"""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor

from hashbench.metrics.nearest_items import nearest_items

QUERIES, ITEMS, BITS, TOP = 100, 193_734, 32, 100


@pytest.mark.usefixtures("measuring")
def test_nearest_items(benchmark: BenchmarkFixture) -> None:
    random = np.random.default_rng(0)
    queries, codes = random.random((QUERIES, BITS)) < 0.5, random.random((ITEMS, BITS)) < 0.5

    def by_topk() -> Tensor:
        signs, known = (torch.from_numpy(bits).float() * 2 - 1 for bits in (queries, codes))
        distances = ((BITS - (signs @ known.T).round().long()) // 2) * ITEMS + torch.arange(ITEMS)
        return distances.topk(TOP, dim=1, largest=False).indices

    assert (nearest_items(queries, codes, TOP) == by_topk().numpy()).all()
    plain = []
    for _ in range(3):
        began = time.perf_counter()
        by_topk()
        plain.append(time.perf_counter() - began)
    benchmark.pedantic(nearest_items, (queries, codes, TOP), rounds=3)  # type: ignore[no-untyped-call]
    ratio: float = benchmark.stats.stats.min / min(plain)  # type: ignore[union-attr]
    benchmark.extra_info |= {"plain": "a product and torch's topk", "ratio": ratio}
