"""Losses and gradients against reference values that were made with the published code (tests/golden/)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from hashbench.methods import sorted_quantisation
from hashbench.methods.csq import CentralSimilarity
from hashbench.methods.dch import CauchyLikelihood
from hashbench.methods.dph import PairwiseRegression
from hashbench.methods.dpsh import PairwiseSupervised
from hashbench.methods.dsdh import DiscreteSupervised
from hashbench.methods.greedyhash import SignClassifier
from hashbench.methods.hashnet import PairwiseLikelihood
from hashbench.methods.sorted_quantisation import SortedQuantisation
from hashbench.registry.protocols import Method

GOLDEN = dict(np.load(Path(__file__).parents[1] / "golden" / "losses.npz", allow_pickle=False))
PRECISIONS = {torch.float64: ("_f64", 1e-11, 1e-9), torch.float32: ("", 3e-7, 3e-6)}
Make = Callable[[torch.dtype], Method]


def array(name: str, dtype: torch.dtype) -> Tensor:
    values = torch.from_numpy(GOLDEN[name])
    return values.to(dtype) if values.is_floating_point() else values


def memory(dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    return array("U", dtype), array("Y", dtype)


def no_memory(dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    codes, labels = memory(dtype)
    return torch.zeros_like(codes), torch.zeros_like(labels)


def csq(quantisation: float) -> Make:
    def make(dtype: torch.dtype) -> Method:
        tie_bits = 2 * array("csq_random_center", dtype) - 1
        return CentralSimilarity(array("csq_targets", dtype), tie_bits, quantisation)

    return make


def dsdh(dtype: torch.dtype) -> Method:
    return DiscreteSupervised(*memory(dtype), False, 1.0, 1.0, 55.0, 10, 0.0)


def sorted_term(make: Make) -> Make:
    return lambda dtype: SortedQuantisation(make(dtype), 0.1)


CASES: dict[str, tuple[str, Make]] = {
    "dph": ("y", lambda dtype: PairwiseRegression(*memory(dtype), False)),
    "saat_dph": ("y", lambda dtype: PairwiseRegression(*memory(dtype), False)),
    "dpsh": ("y", lambda dtype: PairwiseSupervised(*memory(dtype), False, 1e-3)),
    "saat_dpsh": ("y", lambda dtype: PairwiseSupervised(*memory(dtype), False, 50 * 16 / 40)),
    "hashnet": ("y", lambda dtype: PairwiseLikelihood(*memory(dtype), 0.1)),
    "saat_hashnet": ("y", lambda dtype: PairwiseLikelihood(*memory(dtype), 10 / 16)),
    "dsdh": ("y", dsdh),
    "dsdh_zero": ("y", lambda dtype: DiscreteSupervised(*no_memory(dtype), False, 1.0, 1.0, 55.0, 10, 0.0)),
    "dsdhc": ("y", sorted_term(dsdh)),
    "dch": ("y", lambda dtype: CauchyLikelihood(20.0, 0.1)),
    "dch_wide": ("y", lambda dtype: CauchyLikelihood(20.0, 0.1)),
    "dch_same": ("y_same", lambda dtype: CauchyLikelihood(20.0, 0.1)),
    "greedy": ("y", lambda dtype: SignClassifier(array("greedy_fc", dtype), 0.1)),
    "greedy_single": ("y_single", lambda dtype: SignClassifier(array("greedy_fc", dtype), 0.1)),
    "csq_single": ("y_single", csq(1e-4)),
    "csq_multi": ("y", csq(1e-4)),
    "saat_csq_single": ("y_single", csq(0.05)),
    "saat_csq_multi": ("y", csq(0.05)),
    "csqc_single": ("y_single", sorted_term(csq(0.0))),
    "csqc_multi": ("y", sorted_term(csq(0.0))),
}


@pytest.fixture
def stored_target(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sorted term's random target as it was in the reference run."""
    monkeypatch.setattr(sorted_quantisation, "random_signs", lambda codes: array("swd_target", codes.dtype))


def assert_close(found: Tensor, name: str, dtype: torch.dtype) -> None:
    suffix, absolute, relative = PRECISIONS[dtype]
    wanted = GOLDEN[name + suffix]
    assert np.abs(found.detach().numpy() - wanted).max() <= absolute + relative * np.abs(wanted).max()


@pytest.mark.usefixtures("stored_target")
@pytest.mark.parametrize("dtype", PRECISIONS, ids=str)
@pytest.mark.parametrize("name", CASES)
def test_value_and_gradient_equal_the_reference(name: str, dtype: torch.dtype) -> None:
    labels, make = CASES[name]
    method, codes = make(dtype), array("u", dtype).requires_grad_()
    value = method(codes, array(labels, dtype), array("ind", dtype))
    torch.autograd.backward(value)
    assert_close(value, f"{name}_value", dtype)
    assert codes.grad is not None
    assert_close(codes.grad, f"{name}_grad", dtype)
    if isinstance(method, SignClassifier):
        assert method.weight.grad is not None
        assert_close(method.weight.grad, f"{name}_fc_grad", dtype)


@pytest.mark.parametrize("name", ["csq_single", "csq_multi"])
def test_csq_centers_equal_the_reference(name: str) -> None:
    labels, make = CASES[name]
    method = make(torch.float32)
    assert isinstance(method, CentralSimilarity)
    assert torch.equal(method.targets(array(labels, torch.float32)), array(f"{name}_center", torch.float32))


@pytest.mark.parametrize("dtype", PRECISIONS, ids=str)
def test_dsdh_update_equals_the_reference(dtype: torch.dtype) -> None:
    method = DiscreteSupervised(*memory(dtype), False, 1.0, 1.0, 55.0, 10, 0.0)
    method.update()
    suffix = PRECISIONS[dtype][0]
    absolute, relative = (1e-11, 1e-9) if suffix else (1e-5, 5e-5)
    wanted = GOLDEN["dsdh_W" + suffix]
    assert np.abs(method.classifier.numpy() - wanted).max() <= absolute + relative * np.abs(wanted).max()
    assert np.array_equal(method.discrete.numpy(), GOLDEN["dsdh_B"])


@pytest.mark.parametrize("dtype", PRECISIONS, ids=str)
def test_sorted_distance_equals_the_reference(dtype: torch.dtype) -> None:
    codes = array("u", dtype).requires_grad_()
    value = sorted_quantisation.sorted_distance(codes, array("swd_target", dtype))
    torch.autograd.backward(value)
    assert_close(value, "swdc_value", dtype)
    assert codes.grad is not None
    assert_close(codes.grad, "swdc_grad", dtype)
