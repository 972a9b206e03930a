from __future__ import annotations

import pytest
import torch
from toys import assert_near, golden, gradients

from hashbench.methods.hashnet import PairwiseLikelihood, hashnet


@pytest.mark.parametrize(("case", "scale"), [("hashnet", 0.1), ("saat_hashnet", None)])
@pytest.mark.parametrize("double", [True, False])
def test_loss_and_gradient_equal_the_reference(case: str, scale: float | None, double: bool) -> None:
    arrays = golden("losses")
    dtype, suffix = (torch.float64, "_f64") if double else (torch.float32, "")
    tensors = {name: torch.from_numpy(arrays[name]).to(dtype) for name in ("u", "y", "U", "Y")}
    method = hashnet(tensors["U"], tensors["Y"], scale=scale or 10 / tensors["u"].shape[1])
    codes = tensors["u"].clone().requires_grad_()
    value = method(codes, tensors["y"], torch.from_numpy(arrays["ind"]))
    atol, rtol = (1e-11, 1e-9) if double else (3e-7, 3e-6)
    for found, name in ((value, "value"), (gradients(value, codes)[0], "grad")):
        assert_near(found, arrays[f"{case}_{name}{suffix}"], atol, rtol)


def test_the_memory_follows_the_batches_and_leaves_its_source_alone() -> None:
    start = torch.zeros(4, 3)
    method = PairwiseLikelihood(start, torch.eye(4), 0.1)
    batch = torch.full((2, 3), 0.5)
    method(batch, torch.eye(4)[:2], torch.tensor([3, 1]))
    assert method.memory.codes[[3, 1]].equal(batch)
    assert method.memory.codes[[0, 2]].equal(torch.zeros(2, 3))
    assert start.equal(torch.zeros(4, 3))


def test_a_batch_of_one_kind_of_pairs_has_a_finite_loss() -> None:
    method = hashnet(torch.ones(4, 3), torch.ones(4, 1))
    assert method(torch.ones(2, 3), torch.ones(2, 1), torch.arange(2)).isfinite()
