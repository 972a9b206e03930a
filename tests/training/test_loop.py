from __future__ import annotations

import pytest
import torch
from toys import random_images, small_model

from hashbench import ImageSet, Threat, defense
from hashbench.errors import BadInput, BadParameter, CodeRaised, TrainingDiverged
from hashbench.evaluation.foreign_code import defend
from hashbench.methods.csq import csq
from hashbench.methods.hashnet import hashnet
from hashbench.metrics.score import retrieval
from hashbench.models.codes import encode
from hashbench.models.model import HashModel, binarize
from hashbench.models.pass_counter import Passes, counted
from hashbench.progress import shown_on, track
from hashbench.registry.entries import choose_clean, defenses
from hashbench.registry.protocols import Method, MethodFactory
from hashbench.registry.spec import Spec
from hashbench.training.loop import fit
from hashbench.training.recipe import Recipe, ScheduleName
from hashbench.training.undefended import clean_training


def trained(factory: MethodFactory, seed: int, recipe: Recipe) -> tuple[HashModel, ImageSet]:
    torch.manual_seed(seed)
    train, model = random_images(200), small_model()
    return clean_training(model, train, factory(encode(model, train), train.labels), recipe=recipe), train


@pytest.mark.parametrize("factory", [csq, hashnet])
def test_training_makes_codes_that_retrieve(factory: MethodFactory) -> None:
    model, train = trained(factory, 0, Recipe(10, 0.01))
    fresh = random_images(50, seed=7)
    codes = [binarize(encode(model, images)) for images in (fresh, train)]
    assert retrieval(codes[0], fresh.labels, codes[1], train.labels).map > 0.85
    assert not model.training


def test_the_same_seed_gives_the_same_weights() -> None:
    first, second, third = (trained(csq, seed, Recipe(2))[0].state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not all(torch.equal(first[name], third[name]) for name in first)


def test_a_loss_that_is_not_finite_stops_the_training() -> None:
    with pytest.raises(TrainingDiverged, match="the loss became inf in epoch 1 of 2; try a learning_rate below"):
        fit(
            small_model(),
            random_images(8),
            csq(torch.zeros(8, 12), torch.eye(4)),
            lambda images, labels, index: images.sum() / 0,
            Recipe(2, 0.01, 4),
        )


def test_a_last_batch_of_one_image_is_left_out() -> None:
    sizes = []

    def loss(images: torch.Tensor, labels: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        sizes.append(len(images))
        return model(images).square().mean()

    model = small_model()
    fit(model, random_images(9), csq(torch.zeros(9, 12), torch.eye(4)), loss, Recipe(1, 0.01, 4))
    assert sizes == [4, 4]


@pytest.mark.parametrize("schedule", ["one-cycle", "thirds"])
@pytest.mark.parametrize(("images", "size"), [(1, 64), (8, 1)])
def test_a_training_without_steps_is_refused(images: int, size: int, schedule: ScheduleName) -> None:
    train, recipe = random_images(images), Recipe(1, batch_size=size, schedule=schedule)
    with pytest.raises(BadInput, match=f"{images} images make no batch of 2 or more with batch_size={size}, .* give 2"):
        clean_training(small_model(), train, csq(torch.zeros(images, 12), torch.eye(4)), recipe=recipe)


def test_batches_of_one_image_are_refused_before_training() -> None:
    for text in ("cgat:batch_size=1", "pgd-training:batch_size=1"):
        with pytest.raises(BadParameter, match="batch_size=1 is out of range; take a number of at least 2"):
            defenses.choose(Spec.parse(text))
    with pytest.raises(BadParameter, match="batch_size=1 is out of range; take a number of at least 2"):
        choose_clean(clean_training, "batch_size=1")


@pytest.mark.usefixtures("registries")
def test_the_training_of_a_plugin_is_told_that_it_has_no_steps() -> None:
    @defense("planted-training")
    def planted(model: HashModel, train: ImageSet, method: Method, threat: Threat) -> HashModel:
        """A training."""
        return fit(model, train, method, lambda images, labels, index: model(images).mean(), Recipe(1))

    method = csq(torch.zeros(1, 12), torch.eye(4))
    with pytest.raises(CodeRaised, match="defense planted-training: nothing to train on: 1 images make no batch"):
        defend(defenses.choose(Spec("planted-training")), small_model(), random_images(1), method, Threat(0.1))


def test_passes_are_counted_on_a_model_and_its_copies() -> None:
    model, passes = small_model(), Passes()
    images = torch.rand(5, 1, 8, 8, requires_grad=True)
    with counted(model, passes):
        model(images).sum().backward()  # type: ignore[no-untyped-call]
        with torch.no_grad():
            model.logits(images)
    model(images)
    assert passes == Passes(forwards=10, backwards=5)


def test_progress_is_shown_only_where_asked() -> None:
    assert list(track([1, 2], "quiet")) == [1, 2]
    seen: list[object] = []

    class Recorder:
        def begin(self, name: str, total: int | None) -> int:
            seen.append((name, total))
            return 3

        def advance(self, handle: int) -> None:
            seen.append(handle)

        def end(self, handle: int) -> None:
            seen.append("end")

    with shown_on(Recorder()):
        assert list(track("ab", "loud")) == ["a", "b"]
    assert seen == [("loud", 2), 3, 3, "end"]
