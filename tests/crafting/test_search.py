from __future__ import annotations

import json
from collections.abc import Callable

import pytest
import torch
from toys import GOLDEN, golden, linear_model, make_toy, small_net

from hashbench.crafting.gradient_loop import Objective, ObjectiveValue, iterate
from hashbench.crafting.objectives import (
    agreement,
    disagreement,
    masked_agreement,
    masked_departure,
    masked_disagreement,
    surrogate_distance,
)
from hashbench.crafting.search import annealed, guided, plain, reached, search, steepest_search
from hashbench.crafting.step_rules import StepRule, adam_steps, constant, momentum_steps, steepest_steps
from hashbench.models.model import HashModel
from hashbench.threat import Threat

ARRAYS = {key: torch.from_numpy(value) for key, value in golden("attacks").items()}
DOUBLE = {key: value.double() if value.is_floating_point() else value for key, value in ARRAYS.items()}
CLEAN, CODE = DOUBLE["pgd_x"], DOUBLE["pgd_code"]
NEVER = 2.0  # a margin that no code reaches
EPS = 8 / 255


def net() -> HashModel:
    return small_net(ARRAYS).double()


def test_the_alpha_schedule_equals_the_reference_for_every_number_of_steps() -> None:
    schedule = json.loads((GOLDEN / "schedule.json").read_text())["alpha"]["saat_by_total_iterations"]
    for total, runs in schedule.items():
        starts = dict(runs)
        alpha = 0.0
        for step in range(int(total)):
            alpha = starts.get(step, alpha)
            assert annealed(step / int(total)) == alpha, (total, step)


@pytest.mark.parametrize(
    ("name", "loss", "alpha", "eps", "start"),
    [
        ("tha100", disagreement, plain, EPS, False),
        ("tha_alpha100", disagreement, annealed, EPS, False),
        ("dhta_alpha100", disagreement, annealed, 0.032, False),
        ("mainstay100", masked_agreement, annealed, EPS, True),
        ("mainstay_targeted100", masked_disagreement, annealed, EPS, True),
    ],
)
def test_guided_walks_equal_the_reference(
    name: str, loss: Callable[..., torch.Tensor], alpha: Callable[[float], float], eps: float, start: bool
) -> None:
    objective = guided(net(), CODE, CODE, loss=loss, score=loss, alpha=alpha, margin=NEVER)
    begin = (CLEAN + DOUBLE["pgd_delta0"]).clamp(0, 1) if start else CLEAN
    move = steepest_steps(Threat(1.0), constant(1 / 255))
    found, _ = iterate(begin, CLEAN, objective, Threat(eps), steps=100, step_rule=move, keep_best=False)
    torch.testing.assert_close(found, DOUBLE[f"{name}_image"], atol=2e-6, rtol=0)


@pytest.mark.parametrize("steps", [1, 20])
def test_hag_by_momentum_equals_the_reference(steps: int) -> None:
    model = net()
    own = model(CLEAN).detach()
    objective = guided(model, own, own, loss=masked_departure, score=agreement, alpha=annealed, margin=NEVER)
    move = momentum_steps(100 / len(CLEAN), 0.9, CLEAN)  # the reference averages the gradient over the batch
    found, _ = iterate(CLEAN, CLEAN, objective, Threat(EPS), steps=steps, step_rule=move, keep_best=False)
    torch.testing.assert_close(found, DOUBLE[f"hag{steps}_image"], atol=5e-6, rtol=0)


@pytest.mark.parametrize(
    ("name", "similarity", "distance", "sign"),
    [
        ("sdha20", "traj_similarity", surrogate_distance, -1.0),
    ],
)
def test_sdha_by_adam_equals_the_reference(
    name: str, similarity: str, distance: Callable[..., torch.Tensor], sign: float
) -> None:
    model, relevant = net(), (DOUBLE[similarity] > 0).double()
    lonely = torch.diag((relevant.sum(1) == 0).double())  # these are driven away from their own codes
    memory = torch.cat([DOUBLE["traj_memory"].sign(), model(CLEAN).detach().sign()])
    relevant = torch.cat([relevant, lonely], 1)

    def objective(images: torch.Tensor, rows: torch.Tensor, progress: float) -> ObjectiveValue:
        codes = torch.tanh(annealed(progress) * model.logits(images))
        away = sign * distance(codes, memory, relevant[rows]) * 25 / codes.shape[1]
        loss = (((images - CLEAN[rows]) ** 2).flatten(1).mean(1) + away) / len(CLEAN)
        return ObjectiveValue(loss, loss.detach(), torch.zeros(len(rows), dtype=torch.bool))

    move = adam_steps(0.01, CLEAN)
    found, _ = iterate(CLEAN, CLEAN, objective, Threat(EPS), steps=20, step_rule=move, keep_best=False)
    torch.testing.assert_close(found, DOUBLE[f"{name}_image"], atol=1e-4, rtol=0)


@pytest.mark.parametrize("move", [adam_steps, momentum_steps])
def test_moves_equal_those_of_torch(move: Callable[..., StepRule]) -> None:
    gradients = torch.randn(5, 3, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    weights = torch.zeros(3, 1, 2, 2, requires_grad=True)
    if move is adam_steps:
        optimizer: torch.optim.Optimizer = torch.optim.Adam([weights], lr=0.1)
        ours = adam_steps(0.1, gradients[0])
    else:
        optimizer = torch.optim.SGD([weights], lr=0.1, momentum=0.9)
        ours = momentum_steps(0.1, 0.9, gradients[0])
    moved = torch.zeros(3, 1, 2, 2)
    for gradient in gradients:
        weights.grad = gradient
        optimizer.step()
        moved = moved - ours(gradient, torch.arange(3), 0.0)
    torch.testing.assert_close(moved, weights.detach())


def test_images_that_reach_their_goal_leave_and_save_passes() -> None:
    victim, queries = make_toy(linear_model(4, 1, 8))
    guide = (victim.model(queries.images) > 0) * 2.0 - 1
    seen: list[int] = []

    def watched(goal: torch.Tensor) -> Objective:
        inner = guided(victim.model, -guide, goal, loss=disagreement, score=disagreement, margin=0.0)

        def objective(images: torch.Tensor, rows: torch.Tensor, progress: float) -> ObjectiveValue:
            seen.append(len(images))
            return inner(images, rows, progress)

        return objective

    move = steepest_steps(Threat(1.0), constant(0.02))
    found = search(
        queries, [watched(-guide)] * 2, Threat(1.0), steps=30, step_rule=lambda start: move, random_start=False
    )
    done = reached(victim.model(found).detach(), -guide, 0.0)
    assert done.any()
    assert seen[-1] < len(guide)
    assert sum(seen) < 2 * 31 * len(guide)


def test_a_query_without_any_goal_keeps_its_start() -> None:
    victim, queries = make_toy(net().float())
    nothing = torch.zeros(len(queries.index), victim.model.bits)
    objective = guided(victim.model, nothing, nothing, loss=agreement, score=agreement)
    move = steepest_steps(Threat(1.0), constant(0.1))
    found = search(queries, [objective], Threat(0.1), steps=3, step_rule=lambda start: move, random_start=False)
    assert torch.equal(found, queries.images)


def test_the_official_walk_takes_equal_steps_and_ends_at_the_last_iterate() -> None:
    victim, queries = make_toy(linear_model(4, 1, 8))
    guide = (victim.model(queries.images) > 0) * 2.0 - 1
    objective = guided(victim.model, -guide, -guide, loss=disagreement, score=disagreement, margin=NEVER)
    threat = Threat(0.1)
    found = steepest_search(queries, [objective], threat, steps=3, step_ratio=0.25, random_start=False, walk="official")
    images = queries.images
    for _ in range(3):
        images = images.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(disagreement(victim.model(images), -guide).sum(), images)
        images = threat.project(images - 0.025 * gradient.sign(), queries.images)
    assert torch.equal(found, images.detach())
