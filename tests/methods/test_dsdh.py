from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor
from toys import random_images, small_model

from hashbench.methods.dsdh import DiscreteSupervised, discrete_descent, dsdh
from hashbench.models.codes import encode
from hashbench.registry.entries import defenses
from hashbench.registry.spec import Spec
from hashbench.threat import Threat


def random_problem() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    outputs = torch.tanh(torch.randn(6, 30, generator=generator)).double()
    labels = torch.nn.functional.one_hot(torch.arange(30) % 4).T.double()
    return outputs, labels


def energy(outputs: Tensor, labels: Tensor, classifier: Tensor, discrete: Tensor) -> float:
    misfit = ((labels - classifier.T @ discrete) ** 2).sum()
    return float(misfit + (classifier**2).sum() + 2 * ((discrete - outputs) ** 2).sum())


def test_each_sweep_lowers_the_objective() -> None:
    outputs, labels = random_problem()
    values = [
        energy(outputs, labels, *discrete_descent(outputs, labels, 1.0, 1.0, 2.0, sweeps)) for sweeps in range(1, 6)
    ]
    assert all(later <= sooner + 1e-9 for sooner, later in itertools.pairwise(values))


def test_no_single_bit_can_be_improved_after_the_last_sweep() -> None:
    outputs, labels = random_problem()
    classifier, discrete = discrete_descent(outputs, labels, 1.0, 1.0, 2.0, 50)
    reached = energy(outputs, labels, classifier, discrete)
    for bit in range(6):
        for item in range(30):
            other = discrete.clone()
            other[bit, item] *= -1
            assert energy(outputs, labels, classifier, other) >= reached


def test_codes_are_updated_once_an_epoch() -> None:
    labels = torch.eye(4).repeat(5, 1)
    method = DiscreteSupervised(torch.randn(20, 8), labels, True, 1.0, 1.0, 55.0, 2, 0.0)
    updates: list[Tensor] = []
    for _ in range(3):
        for index in torch.split(torch.randperm(20)[:19], 8):  # an image may be left out of an epoch
            method(torch.rand(len(index), 8) - 0.5, labels[index], index)
            if not updates or method.discrete is not updates[-1]:
                updates.append(method.discrete)
    assert len(updates) == 3


@pytest.mark.parametrize("words", [{}, {"cutmix": "1"}])
def test_an_adversarial_training_updates_them_from_clean_images_alone(
    words: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Attacked batches begin each from the memory of before, so that they never update it within an epoch."""
    starts: list[Tensor] = []
    update = DiscreteSupervised.update

    def noted(self: DiscreteSupervised) -> None:
        starts.append(self.memory.codes.clone())
        update(self)

    monkeypatch.setattr(DiscreteSupervised, "update", noted)
    train, model = random_images(40), small_model()
    choice = defenses.choose(Spec("pgd-training", {"epochs": "3", "batch_size": "16", "steps": "2", **words}))
    choice.call(model, train, dsdh(encode(model, train), train.labels), Threat(0.1))
    different = [starts[0], *(one for before, one in itertools.pairwise(starts) if not torch.equal(before, one))]
    assert len(different) == (1 if words else 3)


def test_pull_draws_codes_to_the_discrete_ones() -> None:
    labels = torch.eye(4).repeat(5, 1)
    start = torch.randn(20, 8)
    codes = (torch.rand(20, 8) - 0.5).requires_grad_()
    free, pulled = (DiscreteSupervised(start, labels, True, 1.0, 1.0, 55.0, 2, pull) for pull in (0.0, 1.0))
    gradients = [torch.autograd.grad(m(codes, labels, torch.arange(20)), codes)[0] for m in (free, pulled)]
    wanted = 2 * (codes.detach() - pulled.discrete.T) / codes.numel()
    torch.testing.assert_close(gradients[1] - gradients[0], wanted)
