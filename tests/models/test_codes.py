from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toys import golden, layers, random_images, small_model

from hashbench.models.codes import center_code, encode, nearest
from hashbench.models.model import binarize


@pytest.mark.parametrize("case", ["a", "b"])
@pytest.mark.parametrize("memory", ["B", "U"])
def test_center_codes_equal_the_reference(case: str, memory: str) -> None:
    arrays = {key: torch.from_numpy(value) for key, value in golden("center_code").items()}
    found = center_code(arrays[f"{case}_{memory}"], arrays[f"{case}_L"], arrays[f"{case}_y"])
    assert torch.equal(found, arrays[f"{case}_center_from_{memory}"])


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_a_center_code_minimises_its_objective(seed: int) -> None:
    """No code of 5 bits is nearer to the relevant and farther from the irrelevant codes over all pairs."""
    generator = torch.Generator().manual_seed(seed)
    codes = binarize(torch.randn(9, 5, generator=generator))
    labels = (torch.rand(9, 3, generator=generator) < 0.4).float()
    wanted = torch.tensor([[1.0, 0.0, 0.0]])
    positive = labels[:, 0] > 0

    def objective(code: torch.Tensor) -> float:
        distance = (5 - codes @ code) / 2
        pairs = distance[positive][:, None] - distance[~positive][None, :]
        return float(pairs.sum())

    found = center_code(codes, labels, wanted)[0]
    best = min(objective(torch.tensor(code)) for code in itertools.product((-1.0, 1.0), repeat=5))
    assert objective(torch.where(found == 0, 1.0, found)) == pytest.approx(best, abs=1e-4)


@pytest.mark.parametrize("own", [[1.0, 0.0], [0.0, 1.0]])
def test_own_classes_come_last_where_centers_are_opposite(own: list[float]) -> None:
    """The code of an image is its own class's center, as far from the other one as can be."""
    centers = torch.tensor([[1.0, 1.0, -1.0], [-1.0, -1.0, 1.0]])
    labels = torch.tensor([own])
    place = int(labels.argmax())
    assert nearest(centers[[place]], centers, labels).tolist() == [[1 - place, place]]


def test_the_sign_of_zero_is_plus_one() -> None:
    assert binarize(torch.tensor([[0.0, -0.0, 1e-9, -1e-9]])).tolist() == [[1, 1, 1, -1]]


def test_encoding_uses_eval_mode_and_restores_the_mode() -> None:
    model = small_model().train()
    images = random_images(300)
    before = layers(model)[1].running_mean.clone()
    codes = encode(model, images)
    assert torch.equal(codes, encode(model, images))
    assert model.training
    assert torch.equal(layers(model)[1].running_mean, before)
