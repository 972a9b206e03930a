from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from toys import assert_near, golden

from hashbench.crafting.pros_gan_networks import Discriminator, Generator, least_squares

ARRAYS = golden("prototype")


def shapes(net: nn.Module) -> list[tuple[int, ...]]:
    return sorted(tuple(weight.shape) for weight in net.parameters())


def wanted(name: str, case: str = "main", *, trainable: bool = True) -> list[tuple[int, ...]]:
    kept = ARRAYS[f"counts_{case}_{name}_trainable"] == trainable
    return sorted(tuple(int(n) for n in row if n) for row in ARRAYS[f"counts_{case}_{name}_shapes"][kept])


def test_the_generator_has_the_published_layers_at_224_pixels() -> None:
    assert shapes(Generator(512, 3, 224)) == wanted("generator")


@pytest.mark.parametrize("case", ["main", "alt"])
def test_the_discriminator_has_the_published_layers_at_224_pixels(case: str) -> None:
    net = Discriminator(int(ARRAYS[f"counts_{case}_C"]), 3, 224)
    assert shapes(net) == wanted("discriminator", case)
    vectors = sorted(tuple(vector.shape) for vector in net.buffers())
    assert vectors == wanted("discriminator", case, trainable=False)


def test_outputs_have_the_published_shapes() -> None:
    with torch.no_grad():
        images = Generator(512, 3, 224)(torch.rand(2, 3, 224, 224), torch.zeros(2, 512))
        scores = Discriminator(38, 3, 224)(images)
    assert tuple(images.shape) == tuple(ARRAYS["generator_output_shapes"][0])
    assert tuple(scores.shape) == tuple(ARRAYS["discriminator_output_shape"])


@pytest.mark.parametrize(("channels", "size"), [(1, 8), (1, 16), (1, 28), (3, 30), (3, 32)])
def test_sizes_follow_the_image(channels: int, size: int) -> None:
    images = torch.rand(2, channels, size, size)
    made = Generator(12, channels, size, width=4)(images, torch.zeros(2, 12))
    assert made.shape == images.shape
    assert made.min() >= 0
    assert made.max() <= 1
    assert Discriminator(5, channels, size, width=4)(made).shape == (2, 6)


def test_least_squares_terms_equal_the_reference() -> None:
    arrays = {key: torch.from_numpy(np.asarray(value)).double() for key, value in ARRAYS.items() if "gan" in key}
    target = torch.from_numpy(ARRAYS["target_label"]).double()
    real, fake, labels = arrays["gan_pred_real"], arrays["gan_pred_fake"], arrays["gan_label"]
    assert_near(least_squares(real, labels, 0.0), ARRAYS["gan_d_real_f64"], 1e-11, 1e-9)
    assert_near(least_squares(fake, target, 1.0), ARRAYS["gan_d_fake_f64"], 1e-11, 1e-9)
    assert_near(least_squares(fake, target, 0.0), ARRAYS["gan_g_f64"], 1e-11, 1e-9)
