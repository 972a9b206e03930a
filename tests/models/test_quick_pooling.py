"""Quick max pools are max pools: the same values and the same gradients, to the last digit."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn

from hashbench.models.model import HashModel
from hashbench.models.quick_pooling import QuickMaxPool2d, with_quick_pools

POOLS = (
    nn.MaxPool2d(2),
    nn.MaxPool2d(3, 2, 1),
    nn.MaxPool2d((3, 2), (1, 2)),
    nn.MaxPool2d(2, 2, ceil_mode=True),
    nn.MaxPool2d(3, 1, dilation=2),
)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("pool", POOLS, ids=repr)
def test_values_and_gradients_are_those_of_torch(pool: nn.MaxPool2d, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    images = torch.randn(4, 5, 11, 9, dtype=dtype).relu()  # half of the pixels are tied at 0
    weights = torch.rand(pool(images).shape, dtype=dtype)
    quick = with_quick_pools(pool)
    assert type(quick) is QuickMaxPool2d
    for given in (images, images.contiguous(memory_format=torch.channels_last)):
        results = []
        for way in (pool, quick):
            asking = given.clone().requires_grad_()
            found = way(asking)
            results.append((found, *torch.autograd.grad((weights * found).sum(), asking)))
        assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))


def test_single_images_and_nan_as_in_torch() -> None:
    pool = nn.MaxPool2d(2)
    quick = with_quick_pools(pool)
    image = torch.rand(3, 4, 4)
    assert torch.equal(quick(image), pool(image))
    image[0, 0, 0] = math.nan
    assert quick(image[None]).isnan().sum() == 1


class Own(nn.MaxPool2d):
    """A pool of somebody's own."""


def test_a_model_gets_them_and_what_is_not_plain_stays() -> None:
    hooked, several, other = nn.MaxPool2d(2), nn.MaxPool2d(2, return_indices=True), nn.MaxPool2d(2)
    hooked.register_forward_hook(lambda *_: None)
    vars(other)["forward"] = torch.sqrt
    network = nn.Sequential(nn.Sequential(nn.MaxPool2d(2)), Own(2), hooked, several, other).eval()
    names = list(copy.deepcopy(network).state_dict())
    found = HashModel(network, 4).network
    assert [type(module) for module in found.modules()] == [
        nn.Sequential, nn.Sequential, QuickMaxPool2d, Own, nn.MaxPool2d, nn.MaxPool2d, nn.MaxPool2d,
    ]  # fmt: skip
    assert not any(module.training for module in found.modules())
    assert list(found.state_dict()) == names
