"""Certificates of small models: never above what brute force, samples or gradients reach."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_networks import grid, pgd_points, random_model, random_points
from toys import make_toy, random_images, small_model

from hashbench.certification.bounds import LogitBounds, logit_bounds, threat_box
from hashbench.certification.certify import Certificate, certificate, certify
from hashbench.certification.precision_bounds import Items
from hashbench.errors import BadInput
from hashbench.metrics.average_precision import AveragePrecision, average_precision
from hashbench.metrics.distance_counts_torch import count_tensors
from hashbench.models.data import Queries, Victim
from hashbench.models.model import HashModel, binarize
from hashbench.registry.entries import attacks
from hashbench.registry.spec import Spec
from hashbench.threat import Threat
from hashbench.types import Labels


def precisions(
    model: HashModel, points: torch.Tensor, labels: Labels, gallery: tuple[torch.Tensor, Labels]
) -> AveragePrecision:
    """AP of each image of points [count, n, ...], arrays of shape [count * n]."""
    with torch.no_grad():
        codes = binarize(model.logits(points.flatten(0, 1).float()))
    return average_precision(count_tensors(codes, labels.repeat(len(points), 1), *gallery))


@pytest.mark.parametrize("seed", range(0, 40, 2))
def test_nothing_found_lies_beyond_the_certificate(seed: int) -> None:
    check_by_brute_force(seed, 2)


@pytest.mark.slow
@pytest.mark.parametrize("levels", [2, 3])
@pytest.mark.parametrize("batch", range(20))
def test_nothing_found_lies_beyond_1000_certificates(batch: int, levels: int) -> None:
    for seed in range(50 * batch, 50 * batch + (50 if levels == 2 else 5)):
        check_by_brute_force(seed, levels)


def check_by_brute_force(seed: int, levels: int) -> None:
    """Hold a random network's certificates against AP at every point of a grid of inputs, and at others."""
    bits, size = 6, 3
    model = random_model(seed, size, bits)
    images, eps = torch.rand(4, 1, size, size), 0.3 * float(torch.rand(())) ** 2
    labels = torch.eye(4)
    gallery = binarize(torch.randn(30, bits)), (torch.rand(30, 4) < 0.3).float()
    box, double = threat_box(images, eps), copy.deepcopy(model).double()
    points = torch.cat([grid(box, levels), random_points(box, 100), pgd_points(double, box)])
    found = precisions(model, points, labels, gallery)
    scored = (gallery[1] @ labels.T > 0).any(0).numpy()
    low = found.low.reshape(len(points), -1)[:, scored].min(0)
    high = found.high.reshape(len(points), -1)[:, scored].max(0)
    for rule in ("intervals", "crown"):
        lowest = certify(model, images, labels, *gallery, eps, rule=rule)
        highest = certify(model, images, labels, *gallery, eps, rule=rule, targeted=True)
        assert (lowest.precision[scored] <= low + 1e-12).all()
        assert (highest.precision[scored] >= high - 1e-12).all()


def of_toy(victim: Victim, queries: Queries, eps: float, *, targeted: bool = False) -> Certificate:
    labels = queries.wanted if targeted else queries.labels
    return certify(
        victim.model, queries.images, labels, victim.gallery.codes, victim.gallery.labels, eps, targeted=targeted
    )


@pytest.mark.parametrize("name", ["pgd-hamming", "standard", "noise", "none"])
@pytest.mark.parametrize("eps", [0.003, 0.03])
def test_attacks_do_not_pass_the_certificate(name: str, eps: float, toy: tuple[Victim, Queries]) -> None:
    victim, queries = toy
    choice = attacks.choose(Spec(name, {"preset": "quick"} if "quick" in attacks[name].presets else {}))
    torch.manual_seed(0)
    crafted = choice.call(victim, Threat(eps))(queries)
    found = precisions(victim.model, crafted[None], queries.labels, (victim.gallery.codes, victim.gallery.labels))
    assert (of_toy(victim, queries, eps).precision <= found.low + 1e-12).all()


def test_a_targeted_attack_does_not_pass_the_certificate(toy: tuple[Victim, Queries]) -> None:
    victim, queries = toy
    torch.manual_seed(0)
    crafted = attacks.choose(Spec("dhta", {})).call(victim, Threat(0.01))(queries)
    found = precisions(victim.model, crafted[None], queries.wanted, (victim.gallery.codes, victim.gallery.labels))
    assert (of_toy(victim, queries, 0.01, targeted=True).precision >= found.high - 1e-12).all()


def test_without_a_budget_it_is_the_clean_precision_in_the_worst_order_of_ties(toy: tuple[Victim, Queries]) -> None:
    victim, queries = toy
    found = of_toy(victim, queries, 0.0)
    gallery = victim.gallery.codes, victim.gallery.labels
    clean = precisions(victim.model, queries.images[None], queries.labels, gallery)
    np.testing.assert_allclose(found.precision, clean.low, rtol=1e-12)
    assert found.untouched.all()
    assert (found.free == 0).all()
    assert set(found.way) == {"exact"}
    assert found.map == pytest.approx(clean.low.mean())
    with torch.no_grad():
        assert (found.codes == (victim.model(queries.images) >= 0).numpy()).all()


def test_it_falls_with_the_budget_and_crown_is_never_below_intervals(toy: tuple[Victim, Queries]) -> None:
    victim, queries = toy
    gallery = victim.gallery.codes, victim.gallery.labels
    before = np.ones(len(queries.images))
    for eps in (0.0, 0.002, 0.01, 0.05):
        one = certify(victim.model, queries.images, queries.labels, *gallery, eps, rule="intervals")
        two = certify(victim.model, queries.images, queries.labels, *gallery, eps, rule="crown")
        assert (two.free <= one.free).all()
        assert (two.fixed | ~one.fixed).all()
        assert (two.precision <= before + 1e-12).all()
        before = two.precision


def test_it_does_not_depend_on_the_batch(monkeypatch: pytest.MonkeyPatch, toy: tuple[Victim, Queries]) -> None:
    victim, queries = toy
    whole = logit_bounds(victim.model, queries.images, 0.01)
    monkeypatch.setattr("hashbench.certification.bounds.VALUES", 1)
    monkeypatch.setattr("hashbench.certification.crown.VALUES", 1)
    alone = logit_bounds(victim.model, queries.images, 0.01)
    torch.testing.assert_close(alone.lower, whole.lower)
    torch.testing.assert_close(alone.upper, whole.upper)


def test_the_sign_of_zero_is_plus_one() -> None:
    ends = torch.tensor([[0.0, -1e-9, -1.0, -1.0]]).double(), torch.tensor([[1.0, 1.0, 0.0, -1e-9]]).double()
    bounds = LogitBounds(*ends, clean=(ends[0] + ends[1]) / 2)
    assert bounds.fixed.tolist() == [[True, False, False, True]]
    items = Items(np.ones((2, 4), dtype=bool), np.ones((2, 1), dtype=bool))
    assert certificate(bounds, torch.ones(1, 1), items).free.tolist() == [2]


def test_batches_that_do_not_agree_are_refused(toy: tuple[Victim, Queries]) -> None:
    victim, queries = toy
    with pytest.raises(BadInput, match="8 images with 3 rows"):
        of_toy(victim, replace(queries, labels=queries.labels[:3]), 0.1)


def test_a_multi_label_database_is_certified_too() -> None:
    victim, queries = make_toy(small_model(), channels=1)
    labels = random_images(8, seed=9).labels
    found = of_toy(victim, replace(queries, labels=labels), 0.005)
    assert ((found.precision > 0) & (found.precision <= 1)).all()


def test_a_model_that_hides_its_gradients_has_the_certificate_of_the_model_behind(toy: tuple[Victim, Queries]) -> None:
    """A tanh without gradients stops the attack, and gains nothing where only signs of logits count."""
    victim, queries = toy
    eps, hidden = 0.06, copy.deepcopy(victim.model)
    last = next(layer for layer in reversed(list(hidden.modules())) if isinstance(layer, torch.nn.Linear))
    with torch.no_grad():
        last.weight.mul_(1e4)
        last.bias.mul_(1e4)
    gallery = victim.gallery.codes, victim.gallery.labels
    choice = attacks.choose(Spec("pgd-hamming"))
    attacked = {}
    for model in (victim.model, hidden):
        torch.manual_seed(0)
        crafted = choice.call(replace(victim, model=model), Threat(eps))(queries)
        attacked[model] = precisions(model, crafted[None], queries.labels, gallery).expected.mean()
    clean = precisions(hidden, queries.images[None], queries.labels, gallery).expected.mean()
    shown, behind = (of_toy(replace(victim, model=model), queries, eps) for model in (hidden, victim.model))
    np.testing.assert_allclose(shown.precision, behind.precision, atol=1e-9)
    assert attacked[victim.model] < clean - 0.08  # what hiding prevents
    assert attacked[hidden] > clean - 0.03
    assert shown.map <= attacked[victim.model]
