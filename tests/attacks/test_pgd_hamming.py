from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toys import golden, layers, linear_model, make_toy, small_net

from hashbench.attacks.pgd_hamming import pgd_hamming
from hashbench.crafting.gradient_loop import descend
from hashbench.crafting.search import DONE
from hashbench.models.codes import center_code, encode
from hashbench.models.model import binarize
from hashbench.threat import Threat


@pytest.mark.parametrize(
    ("name", "step", "snaps", "start"),
    [("pgd7", 2 / 255, None, False), ("pgd100", 1 / 255, (1, 10, 50, 100), False), ("pgd7_start", 2 / 255, None, True)],
)
def test_the_trajectory_equals_the_reference(
    name: str, step: float, snaps: tuple[int, ...] | None, start: bool
) -> None:
    arrays = {key: torch.from_numpy(value) for key, value in golden("attacks").items()}
    model, clean, code = small_net(arrays), arrays["pgd_x"], arrays["pgd_code"]
    begin = (clean + arrays["pgd_delta0"]).clamp(0, 1) if start else clean
    images = arrays[f"{name}_images"]
    for steps, wanted in zip(snaps or range(1, len(images) + 1), images, strict=True):
        found, _ = descend(
            begin,
            clean,
            lambda candidates: (model(candidates) * code).mean(1),
            Threat(8 / 255),
            steps=steps,
            step_size=lambda _: step,
            keep_best=False,
        )
        torch.testing.assert_close(found, wanted, atol=2e-6, rtol=0)
    torch.testing.assert_close(model(found), arrays[f"{name}_final_output"], atol=2e-5, rtol=0)


@settings(max_examples=10, deadline=None)
@given(bits=st.integers(1, 16), seed=st.integers(0, 1000), eps=st.floats(0.01, 0.3))
def test_on_a_linear_model_it_reaches_the_best_loss(bits: int, seed: int, eps: float) -> None:
    model = linear_model(bits, 1, 8, seed)
    victim, queries = make_toy(model)
    center = center_code(binarize(encode(model, victim.train)), victim.train.labels, queries.labels)
    push = (center @ layers(model)[1].weight).sign().view(queries.images.shape)
    best_images = (queries.images - eps * push).clamp(0, 1)

    def agreement(images: torch.Tensor) -> torch.Tensor:
        return (model(images) * center).mean(1).detach()

    worst, best = agreement(queries.images), agreement(best_images)
    found = agreement(pgd_hamming(victim, Threat(eps))(queries))
    assert (found <= best + torch.maximum(0.01 * (worst - best), torch.tensor(1 - DONE))).all()


def test_more_restarts_never_raise_the_loss() -> None:
    victim, queries = make_toy(linear_model(8, 1, 8))
    center = center_code(binarize(encode(victim.model, victim.train)), victim.train.labels, queries.labels)
    losses = [
        (victim.model(pgd_hamming(victim, Threat(0.1), steps=2, restarts=restarts)(queries)) * center).mean(1)
        for restarts in (1, 2, 4)
    ]
    assert (losses[1] <= losses[0] + 1e-7).all()
    assert (losses[2] <= losses[1] + 1e-7).all()
