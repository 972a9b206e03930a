from __future__ import annotations

import numpy as np
import pytest
import torch
from toys import make_toy, pixels, random_images, small_model

from hashbench.datasets.digits import digits
from hashbench.evaluation.judge import judge, make_victim
from hashbench.methods.csq import csq
from hashbench.models.codes import encode
from hashbench.models.data import Victim
from hashbench.models.model import HashModel
from hashbench.models.pass_counter import Passes, counted
from hashbench.models.transformed import Transformed, bare
from hashbench.registry.entries import Choice, attacks, defenses
from hashbench.registry.entry import Entry
from hashbench.registry.protocols import Attack, Craft, Method
from hashbench.registry.spec import Spec
from hashbench.running.cell import ADAPTIVE, OBLIVIOUS, attackers
from hashbench.seeds import seeded
from hashbench.threat import Threat
from hashbench.training.recipe import Recipe
from hashbench.training.undefended import clean_training
from hashbench.types import Images

NAMES = ("jpeg", "bit-depth", "median", "noise-smoothing")


def defended(name: str, model: HashModel, **words: str) -> HashModel:
    train = random_images(8)
    method: Method = csq(torch.zeros(8, 12), train.labels)
    found: HashModel = defenses.choose(Spec(name, words)).call(model, train, method, Threat(0.1))
    return found


def transform_of(name: str, **words: str) -> Transformed:
    network = defended(name, small_model(), **words).network
    assert isinstance(network, Transformed)
    return network


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_keeps_smooth_images_and_drops_fine_patterns(channels: int) -> None:
    """By its cosine transform: a constant block comes back, a faint checkerboard is quantised away."""
    grey = torch.full((1, channels, 16, 16), 0.5)
    rows, columns = torch.meshgrid(torch.arange(16), torch.arange(16), indexing="ij")
    pattern = 0.03 * (-1.0) ** (rows + columns)
    for images in (grey, grey + pattern):
        found = transform_of("jpeg").transform(images)
        assert found.shape == images.shape
        assert (found - grey).abs().max() <= 2 / 255
    fine = transform_of("jpeg", quality="100").transform(grey + pattern)
    assert (fine - grey - pattern).abs().max() <= 6 / 255


def test_bit_depth_is_the_nearest_of_eight_levels() -> None:
    images = pixels(random_images(4))
    levels = torch.arange(8) / 7
    nearest = levels[(images[..., None] - levels).abs().argmin(-1)]
    torch.testing.assert_close(transform_of("bit-depth").transform(images), nearest)


def test_median_is_that_of_a_slow_reference() -> None:
    images = pixels(random_images(2, channels=3))
    found = transform_of("median").transform(images)
    wide = np.pad(images.numpy(), ((0, 0), (0, 0), (1, 1), (1, 1)), mode="reflect")
    for row in range(8):
        for column in range(8):
            wanted = np.median(wide[:, :, row : row + 3, column : column + 3], axis=(2, 3))
            np.testing.assert_allclose(found[:, :, row, column].numpy(), wanted, atol=1e-6)


@pytest.mark.parametrize("name", ["jpeg", "bit-depth"])
def test_gradients_go_straight_through(name: str) -> None:
    network = transform_of(name)
    images = pixels(random_images(2)).requires_grad_()
    weights = torch.rand(images.shape)
    (gradient,) = torch.autograd.grad((network.transform(images) * weights).sum(), images)
    assert torch.equal(gradient, weights)


def test_smoothing_averages_logits_over_seeded_noise() -> None:
    model = small_model()
    smoothed = defended("noise-smoothing", model, sigma="0.2", draws="5")
    images = pixels(random_images(3))
    with seeded(7), torch.no_grad():
        found = smoothed.logits(images)
    with seeded(7), torch.no_grad():
        noise = 0.2 * torch.randn(15, 1, 8, 8)
        wanted = torch.stack([model.logits(images + noise[3 * k : 3 * k + 3]) for k in range(5)]).mean(0)
    torch.testing.assert_close(found, wanted)
    with torch.no_grad():
        assert not torch.equal(smoothed.logits(images), smoothed.logits(images))


@pytest.mark.parametrize("name", NAMES)
def test_the_bare_model_is_the_very_model_and_passes_are_those_of_its_network(name: str) -> None:
    model = small_model()
    found = defended(name, model)
    assert bare(found).network is model.network
    passes = Passes()
    with counted(found, passes), torch.no_grad():
        found(pixels(random_images(3)))
    assert passes.forwards == (24 if name == "noise-smoothing" else 3)


def test_who_attacks() -> None:
    def who(defense: str, attack: str) -> tuple[str, ...]:
        return attackers(defenses.choose(Spec(defense)), attacks.choose(Spec(attack)))

    assert who("jpeg", "pgd-hamming") == (ADAPTIVE, OBLIVIOUS)
    assert who("jpeg", "noise") == who("none", "pgd-hamming") == (ADAPTIVE,)


def test_an_oblivious_attack_sees_the_bare_model_only() -> None:
    model = small_model()
    victim, _ = make_toy(defended("bit-depth", model))
    taken_for, _ = make_toy(model)
    asked: list[torch.nn.Module] = []

    def recorder(seen: Victim, threat: Threat) -> Craft:
        asked.append(seen.model.network)
        return lambda batch: batch.images

    choice: Choice[Attack] = Choice(Entry("recorder", recorder), {})
    verdict = judge(choice, victim, random_images(8, seed=2), Threat(0.1), 0, seen=taken_for)
    assert asked == [model.network]
    clean = judge(attacks.choose(Spec("none")), victim, random_images(8, seed=2), Threat(0.1), 0)
    assert verdict.numbers["map"] == clean.numbers["map"]


@pytest.mark.parametrize("name", ["jpeg", "median"])
def test_the_adaptive_attack_is_clearly_the_stronger(name: str) -> None:
    """The known gap: 5 points of mAP at least, on a small model of the digits."""
    split = digits()
    with seeded(0):
        model = HashModel(small_model(24).network, 24)
        clean_training(model, split.train, csq(encode(model, split.train), split.train.labels), recipe=Recipe(4))
    filtered = defended(name, model)
    victim, taken_for = (make_victim(m, split.train, split.database) for m in (filtered, model))
    attack = attacks.choose(Spec("pgd-hamming", {"steps": "10", "restarts": "1"}))

    def robust(seen: Victim) -> float:
        return judge(attack, victim, split.validation, Threat(split.eps), 0, seen=seen).numbers["map"]

    assert robust(victim) < robust(taken_for) - 0.05


def test_images_of_a_transformation_keep_their_shape() -> None:
    images: Images = pixels(random_images(2, channels=3, size=12))
    for name in NAMES[:3]:
        assert transform_of(name).transform(images).shape == images.shape
