"""What passes through a network cost in time and memory, measured on a few images."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from hashbench.models.codes import batch_size
from hashbench.models.data import ImageSet
from hashbench.models.model import HashModel

BATCH = 32  # images of a measured pass
LARGE = 4  # images of one where images are large
REPEATS = 3


@dataclass(frozen=True)
class StepForecast:
    """What a training's step holds in memory.

    Attributes:
        images: how many go through the network forwards and backwards at once.
        copies: tensors of all weights that stay: models, gradients, what the optimiser keeps.
        temporaries: tensors as large as the largest weight that the optimiser makes for each weight in turn.
    """

    images: int
    copies: int
    temporaries: int


@dataclass(frozen=True)
class PassCost:
    """Seconds and bytes.

    Attributes:
        forward: seconds an image takes without a gradient.
        gradient: seconds an image takes forwards and backwards.
        weights: bytes of the network's weights.
        largest: bytes of the largest of them.
        activations: bytes that an image's gradient keeps in memory.
        batch: images that go through the network at once in an attack.
    """

    forward: float
    gradient: float
    weights: int
    largest: int
    activations: float
    batch: int

    def memory(self, steps: Sequence[StepForecast]) -> float:
        """Bytes of the largest of some trainings' steps and an attack's.

        Gradients of a step's weights live until its optimiser has used them, when the activations are gone.
        """
        attack = self.weights + self.activations * self.batch
        return max([attack, *map(self._of_step, steps)])

    def _of_step(self, step: StepForecast) -> float:
        return step.copies * self.weights + max(step.images * self.activations, step.temporaries * self.largest)


@dataclass(frozen=True)
class PassForecast:
    """Images that go through the network once: only forwards, and forwards and backwards."""

    forward: int = 0
    gradient: int = 0

    def __add__(self, other: PassForecast) -> PassForecast:
        return PassForecast(self.forward + other.forward, self.gradient + other.gradient)

    def __sub__(self, other: PassForecast) -> PassForecast:
        return PassForecast(self.forward - other.forward, self.gradient - other.gradient)

    def __mul__(self, times: int) -> PassForecast:
        return PassForecast(self.forward * times, self.gradient * times)

    @property
    def all(self) -> int:
        """Both."""
        return self.forward + self.gradient

    def seconds(self, cost: PassCost) -> float:
        """How long they take."""
        return self.forward * cost.forward + self.gradient * cost.gradient


def measure_pass(model: HashModel, channels: int, size: int, device: torch.device) -> PassCost:
    """Measure passes of random images of [channels, size, size] through a model on a device; takes seconds at most."""
    model = model.to(device).eval()
    at_once = batch_size(ImageSet(torch.zeros(1, channels, 1, 1).expand(1, channels, size, size), torch.zeros(1, 1)))
    images = torch.rand(BATCH if at_once > BATCH else LARGE, channels, size, size, device=device)
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    def with_gradient() -> None:
        start = images.clone().requires_grad_()
        torch.autograd.grad(model(start).sum(), [start, *model.parameters()], allow_unused=True)

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        with_gradient()
    weights = {one.data_ptr(): one.nbytes for one in model.state_dict().values()}
    held = sum(size for place, size in kept.items() if place not in weights)
    with torch.no_grad():
        forward = _fastest(lambda: model(images), device)
    gradient = _fastest(with_gradient, device)
    number = len(images)
    return PassCost(
        forward / number, gradient / number, sum(weights.values()), max(weights.values()), held / number, at_once
    )


def _fastest(step: Callable[[], object], device: torch.device) -> float:
    """The shortest of a few times that a step takes, in seconds."""
    times = []
    for _ in range(REPEATS):
        _wait(device)
        began = time.perf_counter()
        step()
        _wait(device)
        times.append(time.perf_counter() - began)
    return min(times)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
