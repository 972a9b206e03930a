"""What holds of every registered hashing method."""

from __future__ import annotations

import pytest
import torch
from toys import random_images, small_model

from hashbench.backbones.cnn import cnn
from hashbench.datasets.digits import digits
from hashbench.evaluation.judge import make_victim
from hashbench.metrics.score import retrieval
from hashbench.models.codes import encode
from hashbench.models.data import ImageSet
from hashbench.models.model import HashModel, binarize
from hashbench.registry.entries import methods
from hashbench.registry.protocols import Method
from hashbench.registry.spec import Spec
from hashbench.training.recipe import Recipe
from hashbench.training.undefended import clean_training

NAMES = [entry.name for entry in methods]
every_method = pytest.mark.parametrize("name", NAMES)


def make(name: str, model: HashModel, train: ImageSet) -> Method:
    method: Method = methods.choose(Spec(name)).call(encode(model, train), train.labels)
    return method


@every_method
def test_the_loss_has_a_gradient_for_any_labels(name: str) -> None:
    train = random_images(20)
    train.labels[3] = 0
    model = small_model()
    method = make(name, model, train)
    for rows in (torch.arange(20), torch.tensor([5, 3]), torch.tensor([3, 7])):
        codes = torch.tanh(torch.randn(len(rows), 12)).requires_grad_()
        value = method(codes, train.labels[rows], rows)
        (gradient,) = torch.autograd.grad(value, codes)
        assert value.isfinite()
        assert gradient.isfinite().all()
        assert gradient.abs().max() > 0


@every_method
def test_the_codes_and_labels_it_is_made_from_stay_as_they_are(name: str) -> None:
    train, model = random_images(20), small_model()
    codes, labels = encode(model, train), train.labels.clone()
    before = codes.clone()
    method = methods.choose(Spec(name)).call(codes, train.labels)
    method(torch.rand(4, 12) - 0.5, torch.ones(4, 4), torch.arange(4))
    assert torch.equal(codes, before)
    assert torch.equal(train.labels, labels)


@every_method
def test_digits_are_learned_from_scratch(name: str) -> None:
    split = digits()
    torch.manual_seed(0)
    model = HashModel(cnn(32, 1, 8, width=8), 32)
    clean_training(model, split.train, make(name, model, split.train), recipe=Recipe(10))
    gallery = make_victim(model, split.train, split.database).gallery
    codes = binarize(encode(model, split.queries))
    assert retrieval(codes, split.queries.labels, gallery.codes, gallery.labels).map >= 0.9
