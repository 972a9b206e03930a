"""LAP and LAP-2: the soft AP term against closed forms, and each against the other where they agree."""

from __future__ import annotations

import pytest
import torch
from toys import random_images, small_model

from hashbench.defenses import cgat as cgat_file
from hashbench.defenses import lap as first
from hashbench.defenses import lap_2 as second
from hashbench.methods.csq import csq
from hashbench.models.codes import encode
from hashbench.models.data import ImageSet
from hashbench.models.model import HashModel
from hashbench.threat import Threat
from hashbench.training.adversarial import Guided, InnerAttack
from hashbench.training.recipe import Recipe
from hashbench.training.regularisers import Regularisers

ONE, THREAT = Recipe(epochs=1, learning_rate=0.01), Threat(0.1)


def guided_of(codes: torch.Tensor, labels: torch.Tensor) -> Guided:
    return Guided(codes, labels, lambda codes, _, labels: codes[: len(labels)])


def test_the_loss_is_the_share_of_irrelevant_codes_where_all_stand_at_one_distance() -> None:
    labels = torch.eye(2)[torch.tensor([0] * 3 + [1] * 5)]
    loss = first.precision_loss(weight=6.0, sample=100, half_width=2.0)
    value = loss(torch.ones(2, 4), torch.eye(2), guided_of(torch.ones(8, 4), labels))
    # R relevant of N items at distance 0: AP = R / N; the mean over both queries of 1 - R / N is a half
    assert value.item() == pytest.approx(6 * (5 / 8 + 3 / 8) / 2)


def test_the_loss_is_0_where_relevant_codes_come_first_and_falls_with_its_weight() -> None:
    codes = torch.cat([torch.ones(3, 8), -torch.ones(5, 8)])
    labels = torch.eye(2)[torch.tensor([0] * 3 + [1] * 5)]
    attacked, guided = torch.ones(1, 8), guided_of(codes, labels)
    assert first.precision_loss(6.0, 100, 1.0)(attacked, labels[:1], guided).item() == pytest.approx(0, abs=1e-6)
    wrong = first.precision_loss(6.0, 100, 1.0)(-attacked, labels[:1], guided).item()
    # the five others first, then three of eight: AP = 3 / 8
    assert wrong == pytest.approx(6 * 5 / 8)
    assert first.precision_loss(2.0, 100, 1.0)(-attacked, labels[:1], guided).item() == pytest.approx(wrong / 3)


def test_only_a_sample_of_the_memory_is_ranked() -> None:
    labels = torch.eye(2)[torch.tensor([0] * 50 + [1] * 50)]
    loss, guided = first.precision_loss(1.0, 1, 2.0), guided_of(torch.ones(100, 4), labels)
    torch.manual_seed(0)
    values = {loss(torch.ones(1, 4), torch.eye(2)[:1], guided).item() for _ in range(40)}
    assert values == {0.0, 1.0}


def trained(model: HashModel, images: ImageSet, how: str, ranking: float) -> torch.Tensor:
    """The weights after an epoch of LAP, or of LAP-2 with what LAP has."""
    torch.manual_seed(5)
    method = csq(encode(model, images), images.labels)
    if how == "lap":
        found = first.lap(model, images, method, THREAT, recipe=ONE, ranking=ranking)
    else:
        found = second.lap_2(
            model, images, method, THREAT, recipe=ONE, inner=first.INNER, regularisers=Regularisers(), ranking=ranking
        )
    return torch.cat([weight.flatten() for weight in found.parameters()])


def test_lap_2_without_its_additions_is_lap_on_images_with_several_labels() -> None:
    model, images = small_model(), random_images(24)
    assert (images.labels.sum(1) > 1).any()
    assert torch.equal(trained(model, images, "lap", 2.0), trained(model, images, "lap-2", 2.0))


def test_lap_2_ranks_nothing_where_each_image_has_one_label() -> None:
    model, images = small_model(), random_images(24)
    single = ImageSet(images.images, torch.eye(images.labels.shape[1])[torch.arange(24) % images.labels.shape[1]])
    plain = trained(model, single, "lap-2", 0.0)
    assert torch.equal(trained(model, single, "lap-2", 2.0), plain)
    assert not torch.equal(trained(model, images, "lap-2", 2.0), trained(model, images, "lap-2", 0.0))


def test_lap_2_takes_the_passes_of_cgat() -> None:
    def passes(recipe: Recipe, inner: InnerAttack) -> int:
        return recipe.epochs * (inner.steps + 2)

    assert passes(second.RECIPE, second.INNER) == passes(cgat_file.RECIPE, cgat_file.INNER)
