from __future__ import annotations

import io
import math

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter
from toys import make_toy, precision, small_model

from hashbench.evaluation.corrupted import chance_precision, corrupted_precision
from hashbench.evaluation.corruption_levels import LEVELS, STRENGTHS
from hashbench.evaluation.corruptions import (
    CORRUPTIONS,
    blur,
    brightness,
    contrast,
    crop,
    noise,
    pixelate,
    rotation,
)
from hashbench.models.data import ImageSet, Queries

every_corruption = pytest.mark.parametrize("name", CORRUPTIONS)


def smooth(channels: int = 3, size: int = 16, number: int = 5) -> Queries:
    """Queries with structure, away from 0 and 1."""
    generator = torch.Generator().manual_seed(size)
    coarse = torch.rand(number, channels, 4, 4, generator=generator)
    images = 0.2 + 0.6 * torch.nn.functional.interpolate(coarse, (size, size), mode="bilinear")
    return Queries(images, torch.eye(number), torch.arange(number), seed=3)


@every_corruption
@pytest.mark.parametrize(("channels", "size"), [(1, 8), (3, 17), (3, 64)])
def test_any_image_stays_an_image_and_goes_farther_with_strength(name: str, channels: int, size: int) -> None:
    queries = smooth(channels, size)
    found = [CORRUPTIONS[name](queries, strength) for strength in STRENGTHS]
    for images in found:
        assert images.shape == queries.images.shape
        assert images.dtype == queries.images.dtype
        assert images.min() >= 0
        assert images.max() <= 1
    moved = [(images - queries.images).abs().mean().item() for images in found]
    assert moved[-1] > 1.2 * moved[0] or size == 8
    assert moved[-1] > 0.001


@every_corruption
def test_a_query_is_corrupted_alike_in_any_batch_and_again(name: str) -> None:
    queries = smooth()
    whole = CORRUPTIONS[name](queries, 3)
    assert torch.equal(CORRUPTIONS[name](queries, 3), whole)
    rows = torch.tensor([4, 1])
    torch.testing.assert_close(CORRUPTIONS[name](queries.take(rows), 3), whole[rows])


def test_levels_are_one_for_each_strength() -> None:
    assert {len(one.levels) for one in CORRUPTIONS.values()} == {len(STRENGTHS)}
    assert list(CORRUPTIONS) == list(LEVELS)


def test_brightness_adds_a_constant_within_the_range() -> None:
    queries = smooth()
    torch.testing.assert_close(brightness(queries, 0.1) - queries.images, torch.full_like(queries.images, 0.1))
    torch.testing.assert_close(CORRUPTIONS["brightness"](queries, 5), (queries.images + 0.5).clamp(max=1))


def test_contrast_keeps_the_mean_and_a_share_of_the_deviations() -> None:
    queries = smooth()
    before, after = queries.images.flatten(1), contrast(queries, 0.35).flatten(1)
    torch.testing.assert_close(after.mean(1), before.mean(1))
    torch.testing.assert_close(after.std(1), 0.35 * before.std(1))


def test_noise_is_normal_and_one_draw_at_all_strengths() -> None:
    queries = smooth(size=64)
    one, other = ((noise(queries, deviation) - queries.images) / deviation for deviation in (0.04, 0.26))
    torch.testing.assert_close(one, other, atol=1e-4, rtol=0)
    ordered = one.flatten().double().sort().values
    places = (torch.arange(len(ordered)) + 0.5) / len(ordered)
    normal = math.sqrt(2) * torch.erfinv(2 * places.double() - 1)
    assert (ordered - normal)[1000:-1000].abs().max() < 0.05


def test_blur_is_the_gaussian_filter() -> None:
    queries = smooth(size=32)
    found, deviation = blur(queries, 0.06).numpy(), 0.06 * 32
    for image, clean in zip(found, queries.images.numpy(), strict=True):
        for channel, before in zip(image, clean, strict=True):
            wanted = gaussian_filter(before, deviation, mode="mirror", radius=math.ceil(3 * deviation))
            np.testing.assert_allclose(channel, wanted, atol=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_is_pillows(channels: int) -> None:
    queries = smooth(channels)
    for image, clean in zip(CORRUPTIONS["jpeg"](queries, 4), queries.images, strict=True):
        levels = np.moveaxis((clean.numpy() * 255).round().astype(np.uint8), 0, 2)
        file = io.BytesIO()
        Image.fromarray(levels.squeeze()).save(file, "jpeg", quality=CORRUPTIONS["jpeg"].levels[3])
        wanted = np.asarray(Image.open(file)).reshape(levels.shape)
        np.testing.assert_array_equal((image.numpy() * 255).round(), np.moveaxis(wanted, 2, 0))


def test_pixels_are_means_of_areas() -> None:
    queries = smooth(size=8)
    found = pixelate(queries, 0.5)
    means = queries.images.reshape(5, 3, 4, 2, 4, 2).mean((3, 5))
    torch.testing.assert_close(found, means.repeat_interleave(2, 2).repeat_interleave(2, 3))


def test_a_crop_of_a_ramp_is_a_flatter_ramp() -> None:
    ramp = torch.linspace(0.1, 0.9, 32).expand(4, 1, 32, 32)
    queries = Queries(ramp, torch.eye(4), torch.arange(4), seed=1)
    torch.testing.assert_close(crop(queries, 1.0), ramp)
    found = crop(queries, 0.7)
    step = (ramp[0, 0, 0, 1] - ramp[0, 0, 0, 0]).item()
    inner = found[..., 3:-3].diff(dim=-1)
    torch.testing.assert_close(inner, torch.full_like(inner, 0.7 * step), atol=1e-5, rtol=0)
    assert len({round(value, 4) for value in found[:, 0, 0, 16].tolist()}) == 4  # each query at a place of its own
    assert found.min() >= ramp.min()
    assert found.max() <= ramp.max()


def test_a_full_turn_changes_nothing_and_a_quarter_is_a_quarter() -> None:
    queries = smooth()
    for degrees in (0.0, 360.0):
        torch.testing.assert_close(rotation(queries, degrees), queries.images, atol=1e-4, rtol=0)
    sides = set()
    for found, clean in zip(rotation(queries, 90.0), queries.images, strict=True):
        turned = [side for side in (1, -1) if torch.allclose(found, clean.rot90(side, (1, 2)), atol=1e-4)]
        assert len(turned) == 1
        sides.add(turned[0])
    assert sides == {1, -1}


def test_corrupted_codes_are_scored_as_attacked_ones() -> None:
    victim, queries = make_toy(small_model(48))
    images = ImageSet(queries.images, queries.labels)
    clean = corrupted_precision(victim, images, None, 0, seed=7)
    np.testing.assert_allclose(clean, precision(victim, queries), rtol=1e-5)
    found = corrupted_precision(victim, images, CORRUPTIONS["noise"], 5, seed=7)
    corrupted = Queries(queries.images, queries.labels, queries.index, seed=7)
    after = Queries(CORRUPTIONS["noise"](corrupted, 5), queries.labels, queries.index)
    np.testing.assert_allclose(found, precision(victim, after), rtol=1e-5)
    assert not np.allclose(found, clean)
    assert chance_precision(victim, images).mean() < clean.mean()
