from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from toys import linear_model, make_toy, random_images, small_model

from hashbench import registry
from hashbench.cell import Cell, Subject, plan
from hashbench.clean import clean_training
from hashbench.data import Queries, Victim, split_of_tensors
from hashbench.errors import BadOutput, BadParameter
from hashbench.evaluation import judge, make_victim
from hashbench.forecast import forecast
from hashbench.model import HashModel
from hashbench.passes import Passes, counted
from hashbench.registry import Choice, Entry, defenses
from hashbench.request import Request, all_cells
from hashbench.runner import run
from hashbench.seeds import seeded
from hashbench.spec import Spec
from hashbench.store import Result, Store
from hashbench.threat import Threat
from hashbench.transformed import Transformed, bare
from hashbench.types import Images

# ITU-T T.81, table K.1
LUMINANCE = np.array([
    [16, 11, 10, 16, 24, 40, 51, 61], [12, 12, 14, 19, 26, 58, 60, 55], [14, 13, 16, 24, 40, 57, 69, 56],
    [14, 17, 22, 29, 51, 87, 80, 62], [18, 22, 37, 56, 68, 109, 103, 77], [24, 35, 55, 64, 81, 104, 113, 92],
    [49, 64, 78, 87, 103, 121, 120, 101], [72, 92, 95, 98, 112, 100, 103, 99],
])  # fmt: skip
NAMES = [entry.name for entry in defenses if entry.tags["transforms"] == "yes"]


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


@pytest.mark.parametrize("radius", [1, 2])
def test_median_equals_a_slow_reference(radius: int) -> None:
    images = some(3).numpy()
    wide = np.pad(images, ((0, 0), (0, 0), (radius, radius), (radius, radius)), mode="reflect")
    wanted = np.empty_like(images)
    for place in np.ndindex(images.shape):
        item, channel, row, column = place
        window = wide[item, channel, row : row + 2 * radius + 1, column : column + 2 * radius + 1]
        wanted[place] = np.median(window)
    assert np.array_equal(seen(f"median:radius={radius}", torch.from_numpy(images)).numpy(), wanted)


@pytest.mark.parametrize("bits", [1, 3, 8])
def test_bit_depth_gives_the_nearest_level(bits: int) -> None:
    images = some(1)
    levels = np.linspace(0, 1, 2**bits)
    nearest = levels[np.abs(images.numpy()[..., None] - levels).argmin(-1)]
    np.testing.assert_allclose(seen(f"bit-depth:bits={bits}", images), nearest, atol=1e-6)


def test_noise_smoothing_averages_logits_over_draws() -> None:
    model, images = small_model(size=8), some(1, 8)
    with seeded(5):
        found = defended("noise-smoothing:draws=4,sigma=0.2", model).logits(images)
    with seeded(5):
        noise = torch.randn(4, *images.shape)
    wanted = torch.stack([model.logits(images + 0.2 * draw) for draw in noise]).mean(0)
    torch.testing.assert_close(found, wanted)


def test_noise_is_seeded_from_outside_and_new_each_time() -> None:
    model, images = defended("noise-smoothing", small_model()), some(1, 8)
    with seeded(1):
        first, second = model(images), model(images)
    with seeded(1):
        assert torch.equal(model(images), first)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("text", ["jpeg", "bit-depth"])
def test_gradients_go_straight_through_what_has_none(text: str) -> None:
    model, images = linear_model(12, 1, 8), some(1, 8)
    found = gradient_of(defended(text, model), images)
    torch.testing.assert_close(found, gradient_of(model, seen(text, images)), rtol=0, atol=0)
    assert (found != 0).any()


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


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("channels", [1, 3])
def test_bare_gives_the_very_model(name: str, channels: int) -> None:
    model = small_model(channels=channels)
    made = defended(name, model)
    assert bare(made).network is model.network
    assert bare(made).bits == made.bits == model.bits
    assert made(some(channels, 8)).shape == (3, model.bits)


def test_a_model_without_a_transformation_is_refused() -> None:
    with pytest.raises(BadOutput, match="no Transformed"):
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


def test_an_oblivious_attack_is_crafted_on_what_it_sees_and_judged_on_the_victim() -> None:
    victim, _ = make_toy(small_model())
    other, _ = make_toy(small_model(seed=1))
    models = []

    def noting(seen_by_attack: Victim, threat: Threat) -> Callable[[Queries], Images]:
        models.append(seen_by_attack.model)
        return lambda queries: queries.images

    choice: Choice[Any] = Choice(Entry("noting", noting), {})
    images = random_images(8, seed=2)
    found = judge(choice, victim, images, Threat(0.1), 0, None, other)
    assert models == [other.model]
    assert found.numbers == judge(choice, victim, images, Threat(0.1), 0).numbers


PGD = "pgd-hamming:steps=10,restarts=1"


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[Result]:
    """Real digits behind two transformations, from a model trained for a second."""
    request = Request(bits=16, training="epochs=3", defenses=("jpeg", "median"), attacks=("noise", PGD))
    store = Store(tmp_path_factory.mktemp("store"))
    return list(run(all_cells([request.resolve()]), store, torch.device("cpu")))


def test_only_attacks_that_see_the_model_come_twice_and_only_on_transformations(results: list[Result]) -> None:
    twice = {(r.identity["defense"], r.identity["attack"]) for r in results if r.identity["attacker"] == "oblivious"}
    assert twice == {(name, PGD) for name in ("jpeg", "median")}
    assert len(results) == 3 * 3 + 2
    assert all(r.status == "valid" for r in results)


def test_a_dry_run_lists_the_second_attacker() -> None:
    lines = "\n".join(forecast([Request(defenses=("jpeg",), attacks=("noise", PGD))]))
    assert "cell jpeg under pgd-hamming (oblivious) (" in lines
    assert lines.count("oblivious") == 1
    assert " 7 cells (0 of them can't run)" in lines


@pytest.mark.parametrize("name", ["jpeg", "median"])
def test_an_attacker_who_knows_of_the_transformation_is_clearly_stronger(name: str, results: list[Result]) -> None:
    left = {r.identity["attacker"]: r.numbers["map"] for r in results if _square(r) == (name, PGD)}
    assert left["adaptive"] < left["oblivious"] - 0.04, left


def smoothed_cells() -> list[Cell]:
    """The cells of a randomised defense on random images."""
    sets = {role: random_images(20, seed=seed) for seed, role in enumerate(("train", "queries", "validation"))}
    split = split_of_tensors(**sets, database=random_images(30, seed=4), eps=0.1)
    choices = registry.backbones.choose(Spec.parse("cnn:width=4")), registry.methods.choose(Spec("csq"))
    dataset: Choice[Any] = Choice(Entry("toy", lambda: split), {})
    subject = Subject(dataset, split, *choices, registry.choose_clean(clean_training, "epochs=1"), 16)
    attacks = [registry.attacks.choose(Spec.parse(text)) for text in ("none", PGD)]
    return plan(subject, Threat(0.1), [0], [defenses.choose(Spec("noise-smoothing"))], attacks)


def test_a_randomised_row_repeats_digit_by_digit(tmp_path: Path) -> None:
    runs = [list(run(smoothed_cells(), Store(tmp_path / name), torch.device("cpu"))) for name in "ab"]
    torch.rand(7)  # what was drawn before does not count
    alone = list(run(smoothed_cells()[1:2], Store(tmp_path / "c"), torch.device("cpu")))
    assert [r.identity["attacker"] for r in runs[0]] == ["adaptive", "adaptive", "oblivious"]
    assert [r.numbers for r in runs[0]] == [r.numbers for r in runs[1]]
    assert alone[0].numbers == runs[0][1].numbers


def _square(result: Result) -> tuple[str, str]:
    return result.identity["defense"], result.identity["attack"]
