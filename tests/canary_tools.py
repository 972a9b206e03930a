"""What canaries are computed with: steady conditions, a network, images and a hashing method of their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from hashbench.models.data import ImageSet
from hashbench.models.model import HashModel
from hashbench.registry.protocols import Method
from hashbench.seeds import seeded
from hashbench.threat import Threat
from hashbench.types import Codes, Images, Index, Labels, Scalar

BITS, CLASSES, SIZE = 12, 4, 8
# How many training images: a prime, and no bit is the same for all of them, so that no mean of relevant codes equals
# one of the others. The sign of their difference, a bit of a guide code, would be up to the processor's rounding.
TRAINING = 41
THREAT, RADIUS, SQUARE = Threat(0.1), Threat(0.4, "l2"), Threat(1.0, "patch-3")

Digits = dict[str, list[float]]


@contextmanager
def steady(seed: int = 0, *, double: bool = True) -> Iterator[None]:
    """Run a block under conditions that are the same whatever ran before; they are restored afterwards.

    Args:
        double: numbers that name no type are in double precision.
    """
    dtype, threads = torch.get_default_dtype(), torch.get_num_threads()
    state = np.random.get_state()  # noqa: NPY002
    torch.set_default_dtype(torch.float64 if double else torch.float32)
    torch.set_num_threads(1)
    try:
        with seeded(seed):
            np.random.seed(seed)  # noqa: NPY002
            yield
    finally:
        torch.set_default_dtype(dtype)
        torch.set_num_threads(threads)
        np.random.set_state(state)  # noqa: NPY002


def projection(tensor: Tensor) -> float:
    """The product of a tensor with fixed numbers between -1 and 1, so that a change of any element moves it."""
    flat = tensor.detach().double().flatten()
    return float(flat @ torch.sin(torch.arange(1, len(flat) + 1).double() ** 2 % 1009))


def projections(tensor: Tensor) -> list[float]:
    """The projection of each row."""
    return [projection(row) for row in tensor]


def sum_and_projection(tensor: Tensor) -> list[float]:
    """Two digits of a tensor."""
    return [float(tensor.detach().double().sum()), projection(tensor)]


def of_tensors(named: Mapping[str, Tensor]) -> Digits:
    """Two digits of each tensor, by its name."""
    return {name: sum_and_projection(tensor) for name, tensor in named.items()}


def small_network(seed: int = 0) -> nn.Module:
    """A network with batch norm whose bits are balanced and far from saturation, drawn by torch's generator."""
    with seeded(seed):
        norm, last = nn.BatchNorm2d(6), nn.Linear(96, BITS)
        network = nn.Sequential(nn.Conv2d(1, 6, 3, 2, 1, bias=False), norm, nn.ReLU(), nn.Flatten(), last)
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.uniform_(norm.bias, -0.2, 0.2)
        nn.init.uniform_(last.weight, -0.4, 0.4)
        norm.running_mean, norm.running_var = torch.rand(6) - 0.5, torch.rand(6) + 0.1
    with torch.no_grad():
        logits = network.eval()(all_images(small_images(TRAINING, seed=1))).sort(0).values
        last.bias.sub_(logits[TRAINING // 2 :][:2].mean(0))
    return network.train()


def small_model(seed: int = 0) -> HashModel:
    """The network as a hashing model."""
    return HashModel(small_network(seed), BITS).eval()


def small_images(number: int, seed: int) -> ImageSet:
    """Images around the mean image of their first class, with one or two labels."""
    with seeded(seed):
        classes, noise = torch.arange(number) % CLASSES, torch.rand(number, 1, SIZE, SIZE)
        labels = nn.functional.one_hot(classes, CLASSES) + (torch.rand(number, CLASSES) < 0.1)
    with seeded(99):
        means = torch.rand(CLASSES, 1, SIZE, SIZE)
    images = 0.6 * means[classes] + 0.4 * noise
    return ImageSet(images, labels.clamp(max=1).to(images.dtype))


def all_images(images: ImageSet) -> Images:
    """The images of a set as a tensor."""
    return images.images[torch.arange(len(images))]


class PairAgreement(Method):
    """A hashing method of the canaries' own, with a memory: no registered one has a part in a defense's digits."""

    memory: Tensor
    labels: Tensor

    def __init__(self, codes: Codes, labels: Labels) -> None:
        super().__init__()
        self.register_buffer("memory", codes.detach().clone())
        self.register_buffer("labels", labels.clone())

    def forward(self, codes: Codes, labels: Labels, index: Index) -> Scalar:
        """The mean squared difference between the pairs' agreement with the memory and what their labels ask for."""
        self.memory[index] = codes.detach()
        wanted = 2 * (labels @ self.labels.T > 0).to(codes.dtype) - 1
        return ((codes @ self.memory.T / codes.shape[1] - wanted) ** 2).mean()


class SinglePrecisionOutside(nn.Module):
    """Takes images in single precision and computes in double, so that the signs of its gradients are those of all."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.double()

    def forward(self, images: Images) -> Codes:
        """Logits in double precision."""
        logits: Codes = self.network(images.double())
        return logits
