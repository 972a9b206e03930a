from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toys import random_images

from hashbench.crafting.targets import draw_targets, label_sets
from hashbench.errors import BadInput, NoTarget
from hashbench.models.data import Queries


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**40), classes=st.integers(3, 8))
def test_targets_occur_in_the_database_and_share_no_label(seed: int, classes: int) -> None:
    labels, database = torch.eye(classes), random_images(40, classes, seed=2).labels
    labels[0] = 0
    targets = draw_targets(labels, database, seed)
    assert ((labels * targets).sum(1) == 0).all()
    assert targets.any(1).all()
    assert all((database == target).all(1).any() for target in targets)
    assert torch.equal(targets, draw_targets(labels, database, seed))


def test_other_seeds_draw_other_targets() -> None:
    labels, database = random_images(30).labels, random_images(40, seed=2).labels
    assert not torch.equal(draw_targets(labels, database, 0), draw_targets(labels, database, 1))


def test_a_query_without_disjoint_target_is_refused_in_one_line() -> None:
    labels = torch.tensor([[1.0, 0], [1, 1]])
    with pytest.raises(NoTarget, match="1 of 2 queries have no target"):
        draw_targets(labels, torch.eye(2), 0)


def test_label_sets_are_unique_and_not_empty() -> None:
    assert torch.equal(label_sets(torch.tensor([[1.0, 0], [0, 0], [1, 0], [1, 1]])), torch.tensor([[1.0, 0], [1, 1]]))


def test_queries_without_targets_say_so() -> None:
    queries = Queries(torch.zeros(1, 1, 2, 2), torch.zeros(1, 2), torch.arange(1))
    with pytest.raises(BadInput, match="no targets"):
        _ = queries.wanted
