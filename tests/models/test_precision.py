"""Mixed precision agrees with full precision, is on in trainings that ask for it, and nowhere else."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest
import torch
from command import Command
from toys import pixels, random_images, small_model

from hashbench.crafting.gallery_ap import exact_precision
from hashbench.crafting.objectives import agreement
from hashbench.evaluation.judge import make_victim
from hashbench.methods.csq import csq
from hashbench.models.codes import encode
from hashbench.models.model import HashModel, binarize, frozen
from hashbench.models.precision import mixed_precision
from hashbench.registry.entries import backbones, datasets, defenses
from hashbench.registry.spec import Spec
from hashbench.running.request import Request, with_amp
from hashbench.training.recipe import Recipe
from hashbench.training.undefended import clean_training


def test_a_pass_is_near_that_in_full_precision_and_comes_back_in_it() -> None:
    model, images = small_model(), pixels(random_images(64))
    with frozen(model):
        asking = images.clone().requires_grad_()
        found = []
        for on in (False, True):
            with mixed_precision(on):
                codes = model(asking)
            assert codes.dtype is torch.float32
            found.append((codes, *torch.autograd.grad(agreement(codes, torch.ones_like(codes)).sum(), asking)))
    (full, gradient), (mixed, mixed_gradient) = found
    assert not torch.equal(full, mixed)
    assert (full - mixed).abs().max() < 0.02
    assert torch.cosine_similarity(gradient.flatten(), mixed_gradient.flatten(), dim=0) > 0.999
    assert torch.equal(model(images), full)


@functools.cache
def trained(recipe: Recipe) -> tuple[HashModel, float]:
    """A model of digits, and its mAP for the data set's queries."""
    split = datasets.choose(Spec("digits")).call()
    torch.manual_seed(0)
    model = HashModel(backbones.choose(Spec("cnn")).call(16, split.channels, split.size), 16)
    method = csq(encode(model, split.train), split.train.labels)
    clean_training(model, split.train, method, recipe=recipe)
    victim = make_victim(model, split.train, split.database)
    return model, exact_precision(victim, encode(model, split.queries), split.queries.labels).mean().item()


@pytest.mark.slow
def test_a_training_ends_as_well_and_its_weights_are_in_single_precision() -> None:
    (full, well), (mixed, as_well) = (trained(Recipe(epochs=6, amp=amp)) for amp in (False, True))
    assert well > 0.9
    assert abs(well - as_well) < 0.03
    assert {weight.dtype for weight in mixed.parameters()} == {torch.float32}
    assert not torch.equal(*(next(model.parameters()) for model in (full, mixed)))


def test_the_codes_of_a_trained_model_agree() -> None:
    model, _ = trained(Recipe(epochs=6))
    images = datasets.choose(Spec("digits")).call().queries.images
    with frozen(model), torch.no_grad():
        full = binarize(model(images))
        with mixed_precision():
            mixed = binarize(model(images))
    assert (full == mixed).float().mean() > 0.995


def test_only_trainings_by_a_recipe_take_it_and_its_default_is_no_part_of_a_name() -> None:
    cgat, none = (defenses.choose(Spec(name)) for name in ("cgat", "none"))
    assert "amp" not in cgat.visible
    assert with_amp(cgat).visible == {**cgat.visible, "amp": True}
    assert with_amp(cgat).label == "cgat:amp=True"
    assert with_amp(none) == none
    given = Request(defenses=("cgat", "jpeg"), amp=True).resolve()
    assert [choice.label for choice in given.defenses] == ["none", "cgat:amp=True", "jpeg"]
    assert given.training.label == "clean:amp=True"
    told = Request(defenses=("cgat:amp=no",), training="epochs=2,amp=no", amp=True).resolve()
    assert [choice.label for choice in told.defenses] == ["none", "cgat"]
    assert told.training.label == "clean:epochs=2"


@pytest.mark.slow
def test_a_run_in_mixed_precision_has_a_board_of_its_own_and_repeats(command: Command) -> None:
    words = ("run", "--defense", "cgat:epochs=1", "--training", "epochs=1", "--amp")
    results = []
    for more in ((), ("--fresh",)):
        outcome = command(*words, *more)
        assert outcome.code == 0, outcome.err
        assert "cgat:epochs=1,amp=True" in outcome.out
        (board,) = Path("leaderboards").iterdir()
        assert "amp-true" in board.name
        results.append((board / "results.csv").read_bytes())
    assert results[0] == results[1]
