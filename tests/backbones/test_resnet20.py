from __future__ import annotations

import pytest
import torch
from torch import nn

from hashbench.backbones.resnet20 import resnet20
from hashbench.errors import BadParameter


def test_it_has_the_layers_and_the_weights_of_the_paper() -> None:
    network = resnet20(10, 3, 32)
    weighted = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    assert len(weighted) == 20
    assert sum(weight.numel() for weight in network.parameters()) == 269_722  # 0.27 M in the paper


@pytest.mark.parametrize(("channels", "size"), [(1, 8), (1, 28), (3, 32), (3, 64)])
def test_it_makes_codes_whose_gradient_reaches_the_pixels(channels: int, size: int) -> None:
    images = torch.rand(2, channels, size, size).requires_grad_()
    codes = resnet20(12, channels, size)(images)
    assert codes.shape == (2, 12)
    (gradient,) = torch.autograd.grad(codes.sum(), images)
    assert gradient.abs().amax((1, 2, 3)).min() > 0


def test_it_refuses_large_images() -> None:
    with pytest.raises(BadParameter, match="8 to 64 pixels"):
        resnet20(12, 3, 224)
