"""Defenses that only seem to withstand attacks, one for each flag, around a network that works."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from hashbench.models.model import HashModel
from hashbench.types import Codes, Images

Wrong = Callable[[Images, Tensor], Tensor]


class Front(nn.Module):
    """A network behind a change of its images."""

    def __init__(self, change: Callable[[Images], Images], network: nn.Module) -> None:
        super().__init__()
        self.change, self.network = change, network

    def forward(self, images: Images) -> Codes:
        codes: Codes = self.network(self.change(images))
        return codes


class Back(nn.Module):
    """A network whose logits are changed."""

    def __init__(self, network: nn.Module, change: Callable[[Codes], Codes]) -> None:
        super().__init__()
        self.network, self.change = network, change

    def forward(self, images: Images) -> Codes:
        return self.change(self.network(images))


class Misleading(torch.autograd.Function):
    """Passes images on, and gradients only as `wrong` changes them."""

    @staticmethod
    def forward(context: object, images: Images, wrong: Wrong) -> Images:
        context.images, context.wrong = images, wrong  # type: ignore[attr-defined]
        return images.clone()

    @staticmethod
    def backward(context: object, *gradients: Tensor) -> tuple[Tensor, None]:
        return context.wrong(context.images, gradients[0]), None  # type: ignore[attr-defined]


def quantised(network: nn.Module) -> nn.Module:
    """Eight grey levels, without a gradient."""
    return Front(lambda images: (images * 7).round() / 7, network)


def detached(network: nn.Module) -> nn.Module:
    """No graph at all."""
    return Front(lambda images: images.detach(), network)


def steep(network: nn.Module) -> nn.Module:
    """A tanh so steep that 32-bit floats have no gradient left."""
    return Back(network, lambda logits: 50 * logits)


def noisy(network: nn.Module) -> nn.Module:
    """Noise on each image, drawn anew each time."""
    return Front(lambda images: images + 0.2 * torch.randn_like(images), network)


def dead(network: nn.Module) -> nn.Module:
    """One code for everything."""
    return Back(network, lambda logits: 0 * logits + 1)


def few_bits(network: nn.Module) -> nn.Module:
    """Three bits that live, two of them seldom set, of which the others are copies."""

    def copied(logits: Codes) -> Codes:
        alive = torch.stack([logits[:, 1], *(torch.minimum(logits[:, 2], logits[:, i]) for i in (4, 9))], dim=1)
        return alive[:, torch.arange(logits.shape[1]) % 3]

    return Back(network, copied)


class OwnStatistics(nn.Module):
    """A batch norm that never leaves train mode."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(1, momentum=0.0)

    def train(self, mode: bool = True) -> OwnStatistics:
        super().train(True)
        return self

    def forward(self, images: Images) -> Images:
        normed: Images = self.norm(images)
        return 0.36 * normed + 0.3  # about the spread and the mean of the digits


def left_in_train_mode(network: nn.Module) -> nn.Module:
    """Images normed by the statistics of their batch."""
    return nn.Sequential(OwnStatistics(), network)


def misled(network: nn.Module, wrong: Wrong) -> nn.Module:
    """Gradients that are not those of the code."""
    return Front(lambda images: Misleading.apply(images, wrong), network)


def reversed_(network: nn.Module) -> nn.Module:
    """Gradients that point the wrong way."""
    return misled(network, lambda images, gradient: -gradient)


def off_the_grid(images: Images) -> Tensor:
    """Which images are no digits as they were scanned, in 17 grey levels: [images, 1, 1, 1]."""
    return ((images * 16 - (images * 16).round()).abs().flatten(1).mean(1) > 1e-4)[:, None, None, None]


def right_on_the_grid(network: nn.Module) -> nn.Module:
    """Gradients that are right at the clean images, and reversed everywhere else."""
    return misled(network, lambda images, gradient: torch.where(off_the_grid(images), -gradient, gradient))


def right_nearby(network: nn.Module) -> nn.Module:
    """Gradients that are right within a budget of 33/255, and mostly reversed beyond: it shows in an empty column."""

    def wrong(images: Images, gradient: Tensor) -> Tensor:
        far = images[:, :, :, 0].amax((1, 2)) > 0.13
        return torch.where(far[:, None, None, None], -gradient, gradient)

    return misled(network, wrong)


class Brittle(nn.Module):
    """A network whose code is turned round by any change of the image."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Images) -> Codes:
        logits: Codes = self.network(images)
        return torch.where(off_the_grid(images)[:, :, 0, 0], -logits, logits)


def planted(model: HashModel, make: Callable[[nn.Module], nn.Module]) -> HashModel:
    """A model with something planted in it."""
    return HashModel(make(model.network), model.bits).eval()
