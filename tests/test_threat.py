from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from hashbench.errors import BadParameter, ThreatViolation
from hashbench.threat import Threat, l2_radius, square_sides


@pytest.mark.parametrize("eps", [-0.1, 1.01, 8.0])
def test_refuses_budgets_outside_the_pixel_range(eps: float) -> None:
    with pytest.raises(BadParameter, match="write 8/255, not 8"):
        Threat(eps)


def test_projection_is_the_nearest_allowed_image() -> None:
    clean = torch.tensor([0.0, 0.5, 0.95]).view(1, 1, 1, 3)
    wild = torch.tensor([-1.0, 0.55, 2.0]).view(1, 1, 1, 3)
    torch.testing.assert_close(Threat(0.1).project(wild, clean).flatten(), torch.tensor([0.0, 0.55, 1.0]))


def test_check_lets_rounding_pass_and_nothing_more() -> None:
    clean = torch.full((2, 1, 2, 2), 0.5)
    threat = Threat(0.1)
    threat.check(clean + 0.1 + 5e-7, clean)
    with pytest.raises(ThreatViolation, match=r"moved by 25\.76/255, the budget is 25\.5/255"):
        threat.check(clean + 0.101, clean)
    with pytest.raises(ThreatViolation, match="leave"):
        Threat(1.0).check(clean + 0.6, clean)


@pytest.mark.parametrize("eps", [-0.1, float("nan"), float("inf")])
def test_refuses_what_is_no_l2_radius(eps: float) -> None:
    with pytest.raises(BadParameter, match="is no l2 radius"):
        Threat(eps, "l2")


@pytest.mark.parametrize("norm", ["l1", "patch", "patch-0", "patch-04", "patch-4 ", "patch--1", "LINF", ""])
def test_refuses_an_unknown_norm(norm: str) -> None:
    with pytest.raises(BadParameter, match=r"norm='.*' is not known; take linf, l2 or patch-SIDE"):
        Threat(0.1, norm)


def random_pair(seed: int, count: int = 3, size: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    """Clean images, some of whose pixels are 0 or 1, and wild ones."""
    generator = torch.Generator().manual_seed(seed)
    clean = (1.6 * torch.rand(count, 2, size, size, generator=generator) - 0.3).clamp(0, 1)
    return clean + torch.randn(clean.shape, generator=generator), clean


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32), eps=st.floats(0.01, 3))
def test_the_l2_projection_is_what_a_general_solver_finds(seed: int, eps: float) -> None:
    wild, clean = (images.double() for images in random_pair(seed))
    found = Threat(eps, "l2").project(wild, clean)
    for image, base, own in zip(
        wild.flatten(1).numpy(), clean.flatten(1).numpy(), found.flatten(1).numpy(), strict=True
    ):
        ball = {"type": "ineq", "fun": lambda x, base=base: eps**2 - ((x - base) ** 2).sum()}
        solved = minimize(
            lambda x, image=image: ((x - image) ** 2).sum(), base, bounds=[(0, 1)] * len(base), constraints=[ball],
            method="SLSQP", options={"ftol": 1e-12, "maxiter": 500},
        )  # fmt: skip
        assert ((own - image) ** 2).sum() <= solved.fun + 1e-5
        assert abs(own - solved.x).max() < 5e-3


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32), eps=st.sampled_from([0.0, 1e-3, 0.5, 2.0, 30.0]), size=st.sampled_from([1, 8, 40]))
def test_l2_projections_stay_inside_use_the_budget_and_stand_still(seed: int, eps: float, size: int) -> None:
    wild, clean = random_pair(seed, size=size)
    threat = Threat(eps, "l2")
    found = threat.project(wild, clean)
    threat.check(found, clean)
    torch.testing.assert_close(threat.project(found, clean), found, atol=1e-6, rtol=0)
    short = threat.distance(found, clean) < eps - 1e-5  # where the budget is left, only [0, 1] cuts
    torch.testing.assert_close(found[short], wild[short].clamp(0, 1))
    assert torch.equal(threat.project(clean, clean), clean)


def test_the_l2_check_lets_rounding_pass_and_nothing_more() -> None:
    clean = torch.full((2, 3, 5, 5), 0.5)
    threat = Threat(0.5, "l2")
    even = torch.full_like(clean, 0.5 / 75**0.5)
    threat.check(clean + even, clean)
    for share in (1.001, 1.00001):
        with pytest.raises(
            ThreatViolation, match=r"an image moved by 0\.500.* in l2, the budget is 0\.5; end the attack"
        ):
            threat.check(clean + share * even, clean)
    with pytest.raises(ThreatViolation, match="leave"):
        Threat(9.0, "l2").check(clean + 0.6, clean)


@pytest.mark.parametrize("base", [0.05, 0.3, 0.499])
@pytest.mark.parametrize("share", [0.125, 0.999, 1.0])
def test_l2_projections_of_flat_images_pass_at_every_size(base: float, share: float) -> None:
    """All values are rounded alike, so that roundings add up."""
    for channels, size in ((1, 8), (3, 32), (3, 224), (3, 512)):
        clean = torch.full((1, channels, size, size), base)
        threat = Threat(share * l2_radius(8 / 255, clean.numel()), "l2")
        threat.check(threat.project(clean + 0.4, clean), clean)
        threat.check(threat.project(clean - 0.04, clean), clean)


def test_rounding_is_a_ten_thousandth_of_the_l2_budget_at_most() -> None:
    threat = Threat(6.1, "l2")
    assert threat.excess(6.1 + 1.19e-5, 3 * 224 * 224) == ""
    assert threat.excess(6.1 + 1.2e-5, 3 * 224 * 224) == "an image moved by 6.10001 in l2, the budget is 6.1"
    assert threat.excess(6.1 + 6e-5) == "" != threat.excess(6.1 + 7e-5)


@pytest.mark.parametrize("norm", ["linf", "l2", "patch-2"])
def test_no_image_leaves_the_budget_and_nan_does(norm: str) -> None:
    clean, threat = torch.full((2, 1, 4, 4), 0.5), Threat(0.5, norm)
    threat.check(clean[:0], clean[:0])
    broken = clean.clone()
    broken[1, 0, 2, 3] = torch.nan
    with pytest.raises(ThreatViolation, match="pixels are NaN; look for a division by 0"):
        threat.check(broken, clean)
    assert threat.excess(torch.nan) != ""


def test_steps_noise_and_shrinking_have_the_size_of_the_norm() -> None:
    threat, gradient = Threat(0.5, "l2"), torch.randn(4, 3, 6, 6)
    for scale in (1.0, 1e-30, 1e30):
        torch.testing.assert_close(threat.steepest(scale * gradient).flatten(1).norm(dim=1), torch.ones(4))
    assert torch.equal(threat.steepest(0 * gradient), 0 * gradient)
    torch.testing.assert_close(
        threat.noise(2 * torch.rand(4, 3, 6, 6) - 1).flatten(1).norm(dim=1), torch.full((4,), 0.5)
    )
    torch.testing.assert_close(threat.shrink(gradient), 0.5 * threat.steepest(gradient))
    assert torch.equal(threat.shrink(gradient / 1000), gradient / 1000)
    assert threat.even(gradient) == pytest.approx(0.5 / 108**0.5)


def test_the_default_l2_radius_is_half_way_to_the_l_inf_corner() -> None:
    for eps, values in ((32 / 255, 256), (8 / 255, 784)):
        corner = torch.full((values,), eps).norm().item()
        assert l2_radius(eps, values) == pytest.approx(corner / 2, rel=0.05)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32), side=st.integers(1, 5), eps=st.sampled_from([0.1, 1.0]))
def test_the_patch_projection_is_the_best_of_all_squares(seed: int, side: int, eps: float) -> None:
    wild, clean = random_pair(seed, size=4)
    threat = Threat(eps, f"patch-{side}")
    found = threat.project(wild, clean)
    threat.check(found, clean)
    torch.testing.assert_close(threat.project(found, clean), found)
    kept = wild.clamp(clean - eps, clean + eps).clamp(0, 1)
    best = torch.full((len(clean),), torch.inf, dtype=torch.float64)
    for top in range(max(1, 5 - side)):
        for left in range(max(1, 5 - side)):
            tried = clean.clone()
            tried[..., top : top + side, left : left + side] = kept[..., top : top + side, left : left + side]
            best = torch.minimum(best, (tried - wild).double().square().flatten(1).sum(1))
    torch.testing.assert_close((found - wild).double().square().flatten(1).sum(1), best)


def test_the_patch_check_refuses_a_pixel_outside_of_the_square() -> None:
    clean = torch.rand(2, 3, 9, 9)
    threat = Threat(1.0, "patch-4")
    crafted = clean.clone()
    crafted[0, :, 2:6, 5:9] = 1 - crafted[0, :, 2:6, 5:9]
    crafted[1, 1, 0, 0] = 0.0 if clean[1, 1, 0, 0] > 0.5 else 1.0
    threat.check(crafted + 5e-7, clean)
    assert square_sides(crafted, clean).tolist() == [4, 1]
    for row, column in ((1, 5), (6, 8), (2, 4), (8, 0)):
        planted = crafted.clone()
        planted[0, 2, row, column] += 1e-3 if clean[0, 2, row, column] < 0.5 else -1e-3
        with pytest.raises(ThreatViolation, match=r"a change spans [5-9] pixels, the patch has 4 x 4; end the attack"):
            threat.check(planted, clean)
    with pytest.raises(ThreatViolation, match="a pixel moved by"):
        Threat(0.001, "patch-4").check(crafted, clean)
    assert square_sides(clean, clean).tolist() == [0, 0]
