"""Tiny random networks, and images that look for a way out of their bounds."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from hashbench.backbones.resnet20 import Residual
from hashbench.certification.intervals import Box
from hashbench.models.layers import Normalise
from hashbench.models.model import HashModel


def draw(*choices: int) -> int:
    """One of some numbers, by the global random state."""
    return choices[int(torch.randint(len(choices), ()))]


def stir(network: nn.Module) -> nn.Module:
    """Weights and statistics of norms as a training leaves them."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
            module.get_buffer("running_mean").normal_()
            module.get_buffer("running_var").uniform_(0.3, 2)
            if module.affine:
                nn.init.normal_(module.weight)
                nn.init.normal_(module.bias)
    return network.eval()


class Shortcut(nn.Module):
    """A sum of a layer and what went in, by one of the ways to write it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer, self.way = nn.Conv2d(width, width, 3, padding=1), draw(0, 1, 2)

    def forward(self, features: Tensor) -> Tensor:
        inner = self.layer(features)
        if self.way == 0:
            inner += features
            return torch.relu(inner)
        return inner.add(features).relu() if self.way == 1 else torch.add(features, inner)


def random_model(seed: int, size: int, bits: int = 3) -> HashModel:
    """A network of two to five random layers for grey images of `size` pixels a side."""
    torch.manual_seed(seed)
    layers: list[nn.Module] = [Normalise([0.4], [0.3])] if draw(0, 1) else []
    channels, side = 1, size
    for _ in range(draw(1, 2, 3)):
        width, kind = draw(2, 3), draw(*range(8 if side > 1 and channels > 1 else 4))
        if kind < 4:
            layers += [nn.Conv2d(channels, width, 3, stride := draw(1, 2), 1, bias=bool(draw(0, 1)))]
            layers += [nn.BatchNorm2d(width, affine=bool(draw(0, 1)))] if draw(0, 1) else []
            layers += [nn.ReLU(inplace=bool(draw(0, 1)))] if draw(0, 1, 2) else []
            channels, side = width, -(-side // stride)
        elif kind == 4:
            padding = draw(0, 1)
            layers.append(nn.MaxPool2d(2, 1, padding))
            side += 2 * padding - 1
        elif kind == 5:
            layers.append(nn.AvgPool2d(2, 1))
            side -= 1
        elif kind == 6:
            layers.append(Shortcut(channels))
        else:
            layers.append(Residual(channels, channels, 1))
    if draw(0, 1):
        layers, side = [*layers, nn.AdaptiveAvgPool2d(1)], 1
    layers += [nn.Flatten(), nn.Dropout(0.5)]
    inputs = channels * side * side
    if draw(0, 1):
        layers, inputs = [*layers, nn.Linear(inputs, 6), nn.BatchNorm1d(6), nn.ReLU()], 6
    return HashModel(stir(nn.Sequential(*layers, nn.Linear(inputs, bits))), bits).eval()


def random_points(box: Box, count: int) -> Tensor:
    """Corners and inner points of boxes [count, n, ...]."""
    share = torch.rand(count, *box.lower.shape, dtype=box.lower.dtype)
    share[: count // 2] = share[: count // 2].round()
    return box.lower + share * (box.upper - box.lower)


def grid(box: Box, levels: int = 2) -> Tensor:
    """All points of boxes of few pixels whose pixels take some levels, two for the corners [levels^pixels, n, ...]."""
    pixels, steps = box.lower[0].numel(), torch.linspace(0, 1, levels, dtype=box.lower.dtype).tolist()
    pattern = torch.tensor(list(itertools.product(steps, repeat=pixels)), dtype=box.lower.dtype)
    return box.lower + pattern.view(-1, 1, *box.lower.shape[1:]) * (box.upper - box.lower)


def pgd_points(model: HashModel, box: Box, steps: int = 4) -> Tensor:
    """Images that signed gradients lead to the highest and the lowest value of the first bit [2, n, ...]."""
    found = []
    for sign in (1.0, -1.0):
        images = (box.lower + box.upper) / 2
        for _ in range(steps):
            images = images.detach().requires_grad_()
            (slope,) = torch.autograd.grad(sign * model.logits(images)[:, 0].sum(), images)
            step = slope.sign() * (box.upper - box.lower) / 4
            images = torch.clamp(images.detach() + step, box.lower, box.upper)
        found.append(images)
    return torch.stack(found)
