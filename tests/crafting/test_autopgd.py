from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toys import make_toy, small_model

from hashbench.crafting.autopgd import auto_pgd, check_points
from hashbench.crafting.gradient_loop import ObjectiveValue, iterate
from hashbench.crafting.objectives import agreement
from hashbench.crafting.search import guided
from hashbench.crafting.step_rules import constant, steepest_steps
from hashbench.models.codes import encode_batch
from hashbench.models.model import binarize
from hashbench.threat import Threat
from hashbench.types import Images


def test_check_points_are_those_of_the_paper() -> None:
    assert check_points(100)[:5] == [22, 41, 57, 70, 80]
    assert check_points(100)[-1] <= 100


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 1000))
def test_it_reaches_less_than_constant_steps_of_the_same_number(seed: int) -> None:
    victim, queries = make_toy(small_model(seed=seed))
    own = binarize(encode_batch(victim.model, queries.images))
    objective = guided(victim.model, own, -own, loss=agreement, score=agreement, margin=2.0)
    threat, start = Threat(0.1), queries.images
    _, ours = auto_pgd(start, start, objective, threat, steps=40)
    _, plain = iterate(start, start, objective, threat, steps=40, step_rule=steepest_steps(threat, constant(0.05)))
    assert ours.mean() <= plain.mean() + 1e-3


def test_the_objective_is_told_the_share_of_the_steps_behind_it_from_0_to_1() -> None:
    victim, queries = make_toy(small_model())
    own = binarize(encode_batch(victim.model, queries.images))
    plain, told = guided(victim.model, own, -own, loss=agreement, score=agreement), []

    def listening(images: Images, rows: torch.Tensor, progress: float) -> ObjectiveValue:
        told.append(progress)
        return plain(images, rows, progress)

    auto_pgd(queries.images, queries.images, listening, Threat(0.1), steps=4)
    assert told == [0, 0.25, 0.5, 0.75, 1]


def test_only_the_rows_that_set_out_move() -> None:
    victim, queries = make_toy(small_model())
    own = binarize(encode_batch(victim.model, queries.images))
    objective = guided(victim.model, own, -own, loss=agreement, score=agreement)
    found, scores = auto_pgd(
        queries.images, queries.images, objective, Threat(0.1), steps=10, rows=torch.tensor([2, 5])
    )
    moved = (found != queries.images).flatten(1).any(1)
    assert moved.tolist() == [False, False, True, False, False, True, False, False]
    assert torch.isinf(scores).tolist() == (~moved).tolist()


def test_it_never_asks_for_no_images_at_all() -> None:
    asked: list[int] = []

    def objective(images: Images, rows: torch.Tensor, progress: float) -> ObjectiveValue:
        asked.append(len(images))
        done = torch.ones(len(images), dtype=torch.bool)
        return ObjectiveValue(images.sum((1, 2, 3)), images.detach().sum((1, 2, 3)), done)

    start = torch.rand(3, 1, 4, 4)
    for steps in (1, 4):
        kept, scores = auto_pgd(start, start, objective, Threat(0.1), steps=steps)
        assert torch.equal(kept, start)
        assert (scores == -torch.inf).all()
    assert asked == [3, 3]
