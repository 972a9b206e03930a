from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from toys import random_images, small_model

from hashbench.errors import BadOutput, BadParameter
from hashbench.evaluation.judge import judge, make_victim
from hashbench.models.data import Queries, Victim, split_of_tensors
from hashbench.models.model import HashModel
from hashbench.models.pass_counter import Passes, counted
from hashbench.models.transformed import Transformed, bare
from hashbench.registry import entries
from hashbench.registry.entries import Choice, defenses
from hashbench.registry.entry import Entry
from hashbench.registry.spec import Spec
from hashbench.running.cell import Cell, Subject, plan
from hashbench.running.forecast.lines import forecast
from hashbench.running.request import Request
from hashbench.running.runner import run
from hashbench.running.store import Store
from hashbench.seeds import seeded
from hashbench.threat import Threat
from hashbench.training.undefended import clean_training
from hashbench.types import Images

# ITU-T T.81, table K.1
LUMINANCE = np.array([
    [16, 11, 10, 16, 24, 40, 51, 61], [12, 12, 14, 19, 26, 58, 60, 55], [14, 13, 16, 24, 40, 57, 69, 56],
    [14, 17, 22, 29, 51, 87, 80, 62], [18, 22, 37, 56, 68, 109, 103, 77], [24, 35, 55, 64, 81, 104, 113, 92],
    [49, 64, 78, 87, 103, 121, 120, 101], [72, 92, 95, 98, 112, 100, 103, 99],
])  # fmt: skip
PGD = "pgd-hamming:steps=10,restarts=1"


def defended(text: str, model: HashModel) -> HashModel:
    """A model behind a transformation; neither data nor method nor threat enter it."""
    made: HashModel = defenses.choose(Spec.parse(text)).call(model, None, None, None)
    return made


def seen(text: str, images: Images) -> Images:
    """What a network sees of images behind a transformation."""
    network = defended(text, small_model()).network
    assert isinstance(network, Transformed)
    return network.transform(images)


def some(channels: int, size: int = 13, number: int = 3) -> Images:
    return torch.rand(number, channels, size, size, generator=torch.Generator().manual_seed(channels))


def gradient_of(model: HashModel, images: Images) -> torch.Tensor:
    images = images.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(model(images).sum(), images)
    return gradient


def slow_jpeg(block: np.ndarray) -> np.ndarray:
    """Eight by eight grey levels after JPEG of quality 50, whose quantisation is the standard's own table."""
    rows = np.arange(8)
    waves = np.cos((2 * rows + 1) * rows[:, None] * np.pi / 16) * np.where(rows, 0.5, 8**-0.5)[:, None]
    coefficients = np.round(waves @ (block - 128.0) @ waves.T / LUMINANCE) * LUMINANCE
    levels: np.ndarray = np.clip(np.round(waves.T @ coefficients @ waves + 128), 0, 255)
    return levels


def test_jpeg_of_grey_images_equals_the_standard() -> None:
    levels = (some(1, 8, 50) * 255).round()
    wanted = np.stack([slow_jpeg(image) for image in levels[:, 0].numpy()])
    found = seen("jpeg", levels / 255)[:, 0].numpy() * 255
    near = np.abs(found - wanted).max((1, 2)) < 1.5
    assert near.mean() > 0.8  # the codec computes in whole numbers and rounds a coefficient of others another way


def test_jpeg_of_even_colours_keeps_them_at_any_size() -> None:
    colours = torch.tensor([[0.9, 0.2, 0.4], [0.1, 0.5, 0.8]])[:, :, None, None].expand(2, 3, 13, 9)
    assert (seen("jpeg:quality=95", colours) - colours).abs().max() < 3 / 255
    assert (seen("jpeg:quality=5", some(3)) - some(3)).abs().mean() > 0.1


def test_the_median_has_its_true_gradient() -> None:
    def smoothed(images: Images) -> Images:
        return seen("median", images)

    assert torch.autograd.gradcheck(smoothed, some(1, 5, 2).double().requires_grad_())


def test_the_gradient_of_smoothing_is_that_of_the_mean_over_its_draws() -> None:
    model, images = small_model(), some(1, 8)
    with seeded(2):
        found = gradient_of(defended("noise-smoothing:draws=3", model), images)
    with seeded(2):
        noise = torch.randn(3, *images.shape)
    given = images.clone().requires_grad_()
    mean = torch.stack([model.logits(given + 0.1 * draw) for draw in noise]).mean(0)
    (wanted,) = torch.autograd.grad(torch.tanh(mean).sum(), given)
    torch.testing.assert_close(found, wanted)


def test_a_model_without_a_transformation_is_refused() -> None:
    with pytest.raises(BadOutput, match="is not a Transformed"):
        bare(small_model())
    with pytest.raises(BadParameter, match="quality=0 is out of range"):
        defenses.choose(Spec.parse("jpeg:quality=0"))


def test_each_version_of_an_image_is_a_pass() -> None:
    model, passes = defended("noise-smoothing:draws=5", small_model()), Passes()
    with counted(model, passes):
        gradient_of(model, some(1, 8))
    assert (passes.forwards, passes.backwards) == (15, 15)


def noisy_victim(draws: list[torch.Tensor]) -> Victim:
    """A victim that adds noise to its images and notes what it drew."""

    def noisy(images: Images) -> Images:
        draws.append(torch.randn(images.shape))
        return images + 0.3 * draws[-1]

    model = small_model()
    train, database = random_images(20, seed=1), random_images(30, seed=4)
    return make_victim(HashModel(Transformed(noisy, model.network), model.bits), train, database)


def looking(victim: Victim, threat: Threat) -> Callable[[Queries], Images]:
    """An attack that codes the queries and leaves them as they are."""

    def craft(queries: Queries) -> Images:
        victim.model(queries.images)
        return queries.images

    return craft


def test_images_are_judged_on_noise_that_the_attack_did_not_see_and_repeat() -> None:
    draws: list[torch.Tensor] = []
    victim, queries = noisy_victim(draws), random_images(8, seed=2)
    choice: Choice[Any] = Choice(Entry("looking", looking), {})
    found = []
    for _ in range(2):
        draws.clear()
        verdict = judge(choice, victim, queries, Threat(0.1), 3)
        found.append((list(draws), verdict))
    (first, verdict), (second, again) = found
    assert len(first) == 4  # clean codes, the attack, the audit, its grey levels
    assert all(not torch.equal(a, b) for place, a in enumerate(first) for b in first[:place])
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert verdict.numbers == again.numbers


def test_a_dry_run_lists_the_second_attacker() -> None:
    lines = "\n".join(forecast([Request(defenses=("jpeg",), attacks=("noise", PGD))]))
    assert lines.count("(oblivious)") == 1
    assert " 7 cells (0 of them can't run)" in lines


def smoothed_cells() -> list[Cell]:
    """The cells of a randomised defense on random images."""
    sets = {role: random_images(20, seed=seed) for seed, role in enumerate(("train", "queries", "validation"))}
    split = split_of_tensors(**sets, database=random_images(30, seed=4), eps=0.1)
    choices = entries.backbones.choose(Spec.parse("cnn:width=4")), entries.methods.choose(Spec("csq"))
    dataset: Choice[Any] = Choice(Entry("toy", lambda: split), {})
    subject = Subject(dataset, split, *choices, entries.choose_clean(clean_training, "epochs=1"), 16)
    attacks = [entries.attacks.choose(Spec.parse(text)) for text in ("none", PGD)]
    return plan(subject, Threat(0.1), [0], [defenses.choose(Spec("noise-smoothing"))], attacks)


def test_a_randomised_row_repeats_digit_by_digit(tmp_path: Path) -> None:
    runs = [list(run(smoothed_cells(), Store(tmp_path / name), torch.device("cpu"))) for name in "ab"]
    torch.rand(7)  # what was drawn before does not count
    alone = list(run(smoothed_cells()[1:2], Store(tmp_path / "c"), torch.device("cpu")))
    assert [r.identity["attacker"] for r in runs[0]] == ["adaptive", "adaptive", "oblivious"]
    assert [r.numbers for r in runs[0]] == [r.numbers for r in runs[1]]
    assert alone[0].numbers == runs[0][1].numbers
