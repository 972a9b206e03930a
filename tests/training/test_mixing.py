"""Mixed batches in the trainings that are not guided: which images the student sees, and for which labels."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from toys import random_images, small_model

from hashbench.methods.csq import csq
from hashbench.models.codes import encode
from hashbench.models.model import HashModel
from hashbench.registry import entries
from hashbench.registry.protocols import Method
from hashbench.registry.spec import Spec
from hashbench.threat import Threat
from hashbench.training import mixing
from hashbench.training.mixing import Batch
from hashbench.training.regularisers import Mix
from hashbench.types import Codes, Images, Index, Labels, Scalar

SHARE, LEVEL, THREAT = 0.75, 0.5, Threat(0.05)
TRAININGS = [entry.name for entry in entries.defenses if entry.name in ("pgd-training", "trades-hamming", "crdat")]


class Asked(Method):
    """A method that notes the labels and positions that it is asked for, and keeps a memory of codes."""

    memory: Tensor

    def __init__(self, inner: Method) -> None:
        super().__init__()
        self.inner, self.calls = inner, list[tuple[Labels, Index]]()
        self.register_buffer("memory", torch.zeros(40, 12))

    def forward(self, codes: Codes, labels: Labels, index: Index) -> Scalar:
        self.calls.append((labels.clone(), index.clone()))
        self.memory[index] = codes.detach()
        return self.inner(codes, labels, index)


def reversed_mix(images: Images, probability: float) -> Mix | None:
    """Grey images, each half of a mix with the batch's images in reverse."""
    return Mix(torch.full_like(images, LEVEL), torch.arange(len(images)).flip(0), SHARE) if probability else None


def trained(name: str, cutmix: float, monkeypatch: pytest.MonkeyPatch) -> tuple[Asked, list[Images]]:
    """The method after one step of a training, and the images that the student was trained on."""
    monkeypatch.setattr(mixing, "mixed_batch", reversed_mix)
    seen: list[Images] = []

    def noted(model: HashModel, images: tuple[Images]) -> None:
        if model.training:
            seen.append(images[0].detach())

    train, model = random_images(40), small_model()
    method = Asked(csq(encode(model, train), train.labels))
    handle = model.register_forward_pre_hook(noted)
    spec = Spec.parse(f"{name}:cutmix={cutmix},epochs=1,batch_size=40")
    entries.defenses.choose(spec).call(model, train, method, THREAT)
    handle.remove()
    return method, seen


@pytest.mark.parametrize("name", TRAININGS)
def test_mixed_images_are_what_the_student_is_trained_on(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _, seen = trained(name, 1.0, monkeypatch)
    assert seen
    assert all(((images - LEVEL).abs() <= THREAT.eps + 1e-6).all() for images in seen)
    _, plain = trained(name, 0.0, monkeypatch)
    assert any(((images - LEVEL).abs() > 2 * THREAT.eps).any() for images in plain)


@pytest.mark.parametrize("name", [name for name in TRAININGS if name != "crdat"])
def test_hashing_losses_are_asked_for_both_labels_and_remember_nothing(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    method, _ = trained(name, 1.0, monkeypatch)
    places = [tuple(index.tolist()) for _, index in method.calls]
    assert len(set(places)) == 2
    assert all(places[n + 1] == places[n][::-1] for n in range(0, len(places), 2))
    assert not method.memory.any()
    plain, _ = trained(name, 0.0, monkeypatch)
    assert len({tuple(index.tolist()) for _, index in plain.calls}) == 1
    assert plain.memory.any()


def test_a_mixed_hashing_loss_is_weighted_by_area() -> None:
    train, model = random_images(40), small_model()
    method, index = csq(encode(model, train), train.labels), torch.arange(6)
    codes, labels = encode(model, train)[index], train.labels[index]
    mix = Mix(torch.zeros(6, 1, 8, 8), index.flip(0), SHARE)
    found = Batch(mix.images, labels, index, mix).hashing(method, codes)
    wanted = SHARE * method(codes, labels, index) + (1 - SHARE) * method(codes, labels.flip(0), index.flip(0))
    torch.testing.assert_close(found, wanted)
