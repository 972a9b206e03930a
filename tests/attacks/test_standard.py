"""The standard set: the worst of its members by query, and who leaves early."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from toys import floor, make_toy, precision, small_model

from hashbench.attacks.standard import in_turn
from hashbench.crafting.gallery_ap import NEAR_FLOOR
from hashbench.models.data import Queries, Victim
from hashbench.registry.protocols import Craft
from hashbench.types import Images


def noisy(size: float) -> Craft:
    """An attack that adds noise of its own to each query."""

    def craft(queries: Queries) -> Images:
        return (queries.images + size * queries.random(round(1000 * size))).clamp(0, 1)

    return craft


def scores(victim: Victim, queries: Queries, craft: Craft) -> np.ndarray:
    crafted = Queries(craft(queries), queries.labels, queries.index, queries.seed)
    return precision(victim, crafted)


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(sizes=st.lists(st.floats(0.01, 1), min_size=1, max_size=4), seed=st.integers(0, 1000))
def test_is_never_above_a_member_and_a_further_member_never_raises_it(sizes: list[float], seed: int) -> None:
    """But for the hundredth of AP at which a query leaves."""
    victim, queries = make_toy(small_model(seed=seed))
    members = [noisy(size) for size in sizes]
    clean = precision(victim, queries)
    left = [scores(victim, queries, in_turn(victim, members[:count])) for count in range(len(members) + 1)]
    assert np.array_equal(left[0], clean)
    for member in members:
        assert (left[-1] <= scores(victim, queries, member) + NEAR_FLOOR).all()
    for fewer, more in itertools.pairwise(left):
        assert (more <= fewer).all()


def test_two_halves_end_where_the_worst_of_both_is() -> None:
    """Each member works on every other query only, as if a defense stopped it on the rest."""
    victim, queries = make_toy(small_model())
    strong = noisy(0.9)

    def half(parity: int) -> Craft:
        def craft(left: Queries) -> Images:
            works = (left.index % 2 == parity)[:, None, None, None]
            return torch.where(works, strong(left), left.images)

        return craft

    clean, whole = precision(victim, queries), scores(victim, queries, strong)
    both = scores(victim, queries, in_turn(victim, [half(0), half(1)]))
    one = scores(victim, queries, in_turn(victim, [half(0)]))
    assert np.allclose(both, np.minimum(clean, whole), atol=NEAR_FLOOR)
    assert both.mean() < one.mean()


def test_a_query_near_the_lowest_possible_value_leaves() -> None:
    victim, queries = make_toy(small_model())
    asked: list[int] = []

    def member(left: Queries) -> Images:
        asked.append(len(left.index))
        return noisy(0.9)(left)

    crafted = in_turn(victim, [member] * 4)(queries)
    found = precision(victim, Queries(crafted, queries.labels, queries.index, queries.seed))
    lowest = floor(victim, queries)
    assert asked == sorted(asked, reverse=True)
    assert asked[0] <= int((precision(victim, queries) > lowest + NEAR_FLOOR).sum())
    assert (found >= lowest - 1e-12).all()


def test_a_query_without_relevant_items_is_left_alone() -> None:
    victim, queries = make_toy(small_model())
    lonely = Queries(queries.images, torch.zeros_like(queries.labels), queries.index, queries.seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Queries, "take", None)  # nobody sets out
        assert torch.equal(in_turn(victim, [noisy(0.5)])(lonely), queries.images)
