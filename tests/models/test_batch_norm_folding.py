"""Folded batch norms: the same function, and nothing left behind."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from hashbench.models.batch_norm_folding import _pairs, folded
from hashbench.models.model import HashModel, frozen
from hashbench.models.pass_counter import Passes, counted
from hashbench.models.transformed import Transformed
from hashbench.registry.entries import backbones
from hashbench.registry.spec import Spec

WIDTH = 4


def stirred(network: nn.Module) -> nn.Module:
    """Statistics and weights of norms as a training leaves them, in eval mode."""
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None and module.running_var is not None:
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            if module.affine:
                nn.init.uniform_(module.weight, 0.5, 2)
                nn.init.normal_(module.bias)
    return network.eval()


def conv() -> nn.Conv2d:
    return nn.Conv2d(WIDTH, WIDTH, 3, padding=1)


class Shared(nn.Module):
    """One convolution before two norms, and one norm after two convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.three = conv(), conv(), conv()
        self.first, self.second, self.third = (nn.BatchNorm2d(WIDTH) for _ in range(3))

    def forward(self, images: Tensor) -> Tensor:
        found: Tensor = self.first(self.one(images)) + self.second(self.one(images))
        pooled: Tensor = (self.third(self.two(found)) + self.third(self.three(found))).mean((2, 3))
        return pooled


class Forked(nn.Module):
    """A convolution whose output is used beside the norm."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = conv(), nn.BatchNorm2d(WIDTH)

    def forward(self, images: Tensor) -> Tensor:
        found = self.conv(images)
        pooled: Tensor = (found + self.norm(found)).mean((2, 3))
        return pooled


class Choosy(nn.Module):
    """A forward pass that depends on values, which no tracer can follow."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = conv(), nn.BatchNorm2d(WIDTH)

    def forward(self, images: Tensor) -> Tensor:
        found = self.norm(self.conv(images))
        pooled: Tensor = (found if images.sum() > 0 else -found).mean((2, 3))
        return pooled


def seen(model: HashModel, images: Tensor) -> tuple[Tensor, Tensor]:
    """Codes, and a gradient of theirs."""
    images = images.clone().requires_grad_()
    codes = model(images)
    (gradient,) = torch.autograd.grad((codes * torch.linspace(-1, 1, codes.shape[1])).sum(), images)
    return codes.detach(), gradient


def check(model: HashModel, images: Tensor) -> None:
    """The same codes and gradients inside a fold, in double precision, and the same weights, to the bit, after it."""
    model, images = model.double(), images.double()
    weights = copy.deepcopy(model.state_dict())
    with frozen(model):
        plain = seen(model, images)
        with folded(model):
            inside = seen(model, images)
        after = seen(model, images)
    for one, other in zip(plain, inside, strict=True):
        assert torch.allclose(one, other, rtol=1e-9, atol=1e-9 * float(one.abs().max()))
    assert all(torch.equal(one, other) for one, other in zip(plain, after, strict=True))
    assert weights.keys() == model.state_dict().keys()
    assert all(torch.equal(tensor, model.state_dict()[name]) for name, tensor in weights.items())
    assert all("forward" not in vars(module) for module in model.modules())


@pytest.mark.parametrize(("name", "size", "count"), [("cnn", 16, 4), ("resnet20", 32, 19), ("resnet18", 64, 20)])
def test_backbones_give_the_same(name: str, size: int, count: int) -> None:
    channels = 1 if name == "cnn" else 3
    given = {"weights": "none"} if name == "resnet18" else {}
    model = HashModel(stirred(backbones.choose(Spec(name, given)).call(8, channels, size)), 8)
    assert len(_pairs(model.network)) == count
    check(model, torch.rand(3, channels, size, size))


@pytest.mark.parametrize(
    ("make", "count"),
    [
        (Shared, 0),
        (Forked, 0),
        (Choosy, 0),
        (lambda: nn.Sequential(conv(), nn.BatchNorm2d(WIDTH, affine=False), nn.Flatten()), 1),
        (lambda: nn.Sequential(conv(), nn.BatchNorm2d(WIDTH, track_running_stats=False), nn.Flatten()), 0),
        (lambda: nn.Sequential(nn.BatchNorm2d(WIDTH), conv(), nn.Flatten()), 0),
        (lambda: nn.Sequential(nn.utils.parametrizations.weight_norm(conv()), nn.BatchNorm2d(WIDTH), nn.Flatten()), 0),
    ],
    ids=["shared", "forked", "choosy", "without weights", "without statistics", "norm first", "weight norm"],
)
def test_only_what_can_be_folded_is(make: Callable[[], nn.Module], count: int) -> None:
    network = stirred(make())
    assert len(_pairs(network)) == count
    check(HashModel(network, 4), torch.rand(3, WIDTH, 4, 4))


def simple() -> nn.Sequential:
    return nn.Sequential(conv(), nn.BatchNorm2d(WIDTH), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def test_a_norm_in_train_mode_works_by_its_batch() -> None:
    """Its statistics move with each pass, folded or not."""
    images = torch.rand(3, WIDTH, 4, 4)
    model = HashModel(stirred(simple()), WIDTH)
    model.network[1].train()  # type: ignore[index]
    twin = copy.deepcopy(model)
    with folded(model):
        inside = model(images)
    assert torch.equal(inside, twin(images))


def test_is_undone_when_the_block_fails_and_does_nothing_within_itself() -> None:
    model = HashModel(stirred(simple()), WIDTH)
    images = torch.rand(3, WIDTH, 4, 4)
    clean = model(images)
    with folded(model), folded(model):
        assert torch.allclose(model(images), clean, atol=1e-5)
    with pytest.raises(RuntimeError), folded(model):
        model(images[:, :1])
    assert torch.equal(model(images), clean)


def test_folds_behind_a_transformation_and_counts_passes() -> None:
    model = HashModel(Transformed(torch.sqrt, stirred(simple())), WIDTH)
    passes = Passes()
    with counted(model, passes), frozen(model):
        check(model, torch.rand(3, WIDTH, 4, 4) + 0.1)
    assert passes.forwards == passes.backwards == 9
    assert len(_pairs(model.network.network)) == 1  # type: ignore[arg-type]


def test_tracing_leaves_the_random_state_alone() -> None:
    class Noisy(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images.flatten(1) + torch.rand(())

    torch.manual_seed(3)
    wanted = torch.rand(4)
    torch.manual_seed(3)
    with folded(HashModel(Noisy(), 4)):
        pass
    assert torch.equal(torch.rand(4), wanted)


@pytest.mark.parametrize("layer", [0, 1], ids=["convolution", "norm"])
def test_what_is_hooked_or_replaced_later_is_not_folded(layer: int) -> None:
    model, images = HashModel(stirred(simple()), WIDTH), torch.rand(3, WIDTH, 4, 4).double()
    assert len(_pairs(model.network)) == 1
    module = model.get_submodule(f"network.{layer}")
    handle = module.register_forward_hook(lambda module, inputs, output: output.clamp(0.2))
    check(model, images)
    handle.remove()
    original = module.forward
    vars(module)["forward"] = lambda given: original(given).clamp(0.2)
    with frozen(model):
        plain = seen(model, images)
        with folded(model):
            assert torch.equal(seen(model, images)[0], plain[0])
