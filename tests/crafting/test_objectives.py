from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from toys import assert_near, golden, gradients

from hashbench.crafting import objectives
from hashbench.crafting.objectives import (
    agreement,
    clipped_agreement,
    disagreement,
    masked_agreement,
    masked_departure,
    masked_disagreement,
    surrogate_distance,
    unfinished,
    weighted_distance,
)
from hashbench.models.codes import shared_labels

Value = Callable[[torch.Tensor], torch.Tensor]
ARRAYS = {key: torch.from_numpy(value).double() for key, value in golden("attacks").items()}
CODE = ARRAYS["code"]


def over_batch(loss: Callable[..., torch.Tensor], guide: torch.Tensor, sign: float) -> Value:
    """SAAT counts the mask over the batch; our values are means over each query's own mask."""

    def value(codes: torch.Tensor) -> torch.Tensor:
        entries = unfinished(codes, sign * guide).sum(1)
        return (loss(codes, guide) * entries).sum() / entries.sum()

    return value


def to_relevant(distance: Callable[..., torch.Tensor], memory: str, labels: str, sign: float) -> Value:
    relevant = shared_labels(ARRAYS[labels], ARRAYS["train_label"])
    binary, own = ARRAYS[memory].sign(), ARRAYS["h_clean"].sign()

    def value(codes: torch.Tensor) -> torch.Tensor:
        lonely = relevant.sum(1) == 0
        some = distance(codes, binary, relevant + lonely[:, None])
        alone = distance(codes, own, torch.eye(len(codes)).double())
        return sign * torch.where(lonely, alone, some).mean()

    return value


VALUES: dict[str, Value] = {
    "cgat": lambda codes: agreement(codes, CODE).mean(),
    "tha": lambda codes: disagreement(codes, CODE).mean(),
    "hag": lambda codes: masked_departure(codes, ARRAYS["h_clean"]).mean(),
    "mainstay": over_batch(masked_agreement, CODE, 1),
    "mainstay_targeted": over_batch(masked_disagreement, CODE, -1),
    "sdha": to_relevant(surrogate_distance, "memory", "label", -1),
    "sdha_zero_distance": to_relevant(surrogate_distance, "memory_zero_distance", "label", -1),
}


@pytest.mark.parametrize("name", VALUES)
def test_values_and_gradients_equal_the_reference(name: str) -> None:
    codes = ARRAYS["h"].clone().requires_grad_()
    value = VALUES[name](codes)
    assert_near(value, ARRAYS[f"{name}_value_f64"], 1e-11, 1e-9)
    assert_near(gradients(value, codes)[0], ARRAYS[f"{name}_grad_f64"], 1e-11, 1e-9)


def test_dhta_values_equal_the_reference_row_by_row() -> None:
    codes = ARRAYS["h"].clone().requires_grad_()
    values = disagreement(codes, CODE)
    assert_near(values, ARRAYS["dhta_value_f64"], 1e-11, 1e-9)
    assert_near(gradients(values.sum(), codes)[0], ARRAYS["dhta_grad_f64"], 1e-11, 1e-9)


@pytest.mark.parametrize(
    ("name", "part"),
    [("sdha_full", "sdha")],
)
def test_the_whole_sdha_objective_equals_the_reference(name: str, part: str) -> None:
    codes, images = ARRAYS["h"].clone().requires_grad_(), ARRAYS["x_hat"].clone().requires_grad_()
    value = ((images - ARRAYS["x"]) ** 2).mean() + 25 / codes.shape[1] * VALUES[part](codes)
    by_codes, by_images = gradients(value, codes, images)
    assert_near(value, ARRAYS[f"{name}_value_f64"], 1e-11, 1e-9)
    assert_near(by_codes, ARRAYS[f"{name}_grad_h_f64"], 1e-11, 1e-9)
    assert_near(by_images, ARRAYS[f"{name}_grad_x_f64"], 1e-11, 1e-9)


@pytest.mark.parametrize(
    "loss", ["agreement", "masked_agreement", "masked_disagreement", "clipped_agreement", "masked_departure"]
)
def test_no_value_depends_on_other_queries(loss: str) -> None:
    function = getattr(objectives, loss)
    codes = ARRAYS["h"]
    whole = function(codes, CODE)
    alone = torch.cat([function(codes[i : i + 1], CODE[i : i + 1]) for i in range(len(codes))])
    torch.testing.assert_close(whole, alone)


def test_the_rank_of_masked_iterates_has_the_gradient_direction_of_the_masked_mean() -> None:
    codes = (0.9 * ARRAYS["h"]).clone().requires_grad_()
    (masked,) = gradients(masked_agreement(codes, CODE).sum(), codes)
    (clipped,) = gradients(clipped_agreement(codes, CODE).sum(), codes)
    assert torch.equal(masked.sign(), clipped.sign())


def test_the_weighted_distance_ranks_flipped_codes_above_codes_at_zero() -> None:
    memory, relevant = torch.ones(3, 8), torch.ones(1, 3)
    flipped, undecided, same = -torch.ones(1, 8), torch.full((1, 8), 0.01), torch.ones(1, 8)
    values = [float(weighted_distance(codes, memory, relevant)) for codes in (flipped, undecided, same)]
    assert values[0] > values[1] == values[2] == 0
