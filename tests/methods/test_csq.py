from __future__ import annotations

import numpy as np
import pytest
import torch
from toys import assert_near, golden, gradients

from hashbench.errors import BadParameter
from hashbench.methods.csq import CentralSimilarity, csq, hash_centers
from hashbench.registry.entries import methods
from hashbench.registry.spec import Spec


@pytest.mark.parametrize(("case", "labels"), [("csq_single", "y_single"), ("csq_multi", "y")])
@pytest.mark.parametrize("double", [True, False])
def test_loss_and_gradient_equal_the_reference(case: str, labels: str, double: bool) -> None:
    arrays = golden("losses")
    dtype, suffix = (torch.float64, "_f64") if double else (torch.float32, "")
    random_center = torch.from_numpy(2.0 * arrays["csq_random_center"] - 1).to(dtype)
    method = CentralSimilarity(torch.from_numpy(arrays["csq_targets"]).to(dtype), random_center, 1e-4)
    codes = torch.from_numpy(arrays["u"]).to(dtype).requires_grad_()
    batch = torch.from_numpy(arrays[labels]).to(dtype)
    np.testing.assert_array_equal(method.targets(batch), arrays[f"{case}_center"])
    value = method(codes, batch, torch.arange(len(batch)))
    atol, rtol = (1e-11, 1e-9) if double else (3e-7, 3e-6)
    for found, name in ((value, "value"), (gradients(value, codes)[0], "grad")):
        assert_near(found, arrays[f"{case}_{name}{suffix}"], atol, rtol)


@pytest.mark.parametrize("bits", [8, 12, 16, 24, 32, 48, 64])
@pytest.mark.parametrize("classes", [4, 10, 38, 80])
def test_centers_are_distinct_and_have_no_constant_bit(bits: int, classes: int) -> None:
    centers = hash_centers(classes, bits, 0)
    assert centers.shape == (classes, bits)
    assert set(np.unique(centers)) == {-1, 1}
    distances = (bits - centers @ centers.T)[np.triu_indices(classes, 1)] / 2
    assert (np.abs(centers.sum(0)) < classes).all()
    if classes <= 2 * bits and bits & (bits - 1) == 0:
        assert distances.min() >= bits / 2
    if bits >= 12:
        assert distances.min() > 0
    if classes <= bits:
        assert distances.max() < bits  # opposite centers would leave images of both classes without a majority


def test_the_plain_first_rows_would_have_a_dead_bit() -> None:
    from scipy.linalg import hadamard

    assert (hadamard(32)[:10, 0] == 1).all()


def test_an_odd_number_of_bits_works() -> None:
    method = csq(torch.zeros(6, 13), torch.eye(3).repeat(2, 1))
    assert method(torch.full((2, 13), 0.5), torch.eye(3)[:2], torch.arange(2)).isfinite()


def test_two_classes_get_opposite_centers() -> None:
    first, second = hash_centers(2, 16, 0)
    assert (first == -second).all()


def test_a_tied_vote_is_decided_by_drawn_bits() -> None:
    """Two classes vote; where their centers differ, and for an image without labels, the seeded bits decide."""
    labels = torch.eye(6)
    method = csq(torch.zeros(6, 16), labels)
    assert isinstance(method, CentralSimilarity)
    drawn = torch.from_numpy(np.random.RandomState(0).choice([-1.0, 1.0], 16)).float()
    assert set(drawn.tolist()) == {-1, 1}
    assert torch.equal(method.targets(torch.zeros(1, 6))[0], drawn)
    one, two = method.targets(labels)[:2]
    both = method.targets(labels[:1] + labels[1:2])[0]
    assert torch.equal(both, torch.where(one == two, one, drawn))


@pytest.mark.parametrize("name", ["csq", "csq-c", "orthohash"])
def test_seeds_of_centers_are_those_that_numpy_takes(name: str) -> None:
    last = methods.choose(Spec(name, {"center_seed": "4294967295"}))
    assert last.label == f"{name}:center_seed=4294967295"
    assert torch.isfinite(last.call(torch.zeros(4, 8), torch.eye(4))(torch.zeros(4, 8), torch.eye(4), torch.arange(4)))
    for odd in ("4294967296", "-1"):
        with pytest.raises(
            BadParameter, match=f"center_seed={odd} is out of range; take a number from 0 to 4294967295"
        ):
            methods.choose(Spec(name, {"center_seed": odd}))
    assert methods.choose(Spec(name, {"center_seed": "0"})).label == name
