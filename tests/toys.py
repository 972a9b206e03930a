"""Small models and data that many tests share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from hashbench.crafting.gallery_ap import exact_precision, lowest_precision
from hashbench.crafting.targets import draw_targets
from hashbench.evaluation.judge import make_victim
from hashbench.models.codes import encode_batch
from hashbench.models.data import ImageSet, Queries, Victim
from hashbench.models.model import HashModel

GOLDEN = Path(__file__).parent / "golden"


def golden(name: str) -> dict[str, np.ndarray]:
    """Reference numbers, by array name."""
    with np.load(GOLDEN / f"{name}.npz", allow_pickle=False) as file:
        return {key: file[key] for key in file.files}


def assert_near(found: torch.Tensor, wanted: np.ndarray | torch.Tensor, absolute: float, relative: float) -> None:
    """|found - wanted| <= absolute + relative * max |wanted|, the tolerance of the golden numbers."""
    wanted = np.asarray(wanted)
    difference = np.abs(found.detach().numpy() - wanted).max()
    assert difference <= absolute + relative * np.abs(wanted).max(), difference


def gradients(value: torch.Tensor, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """The gradients of a scalar."""
    return torch.autograd.grad(value, inputs)


def linear_model(bits: int, channels: int, size: int, seed: int = 0) -> HashModel:
    """A model whose bits depend on disjoint pixels: the best perturbation is known in closed form."""
    pixels = channels * size * size
    generator = torch.Generator().manual_seed(seed)
    layer = nn.Linear(pixels, bits)
    owner = torch.arange(pixels) % bits
    weight = torch.randn(bits, pixels, generator=generator) * (owner == torch.arange(bits)[:, None])
    layer.load_state_dict({"weight": weight, "bias": -weight.sum(1) / 2})
    return HashModel(nn.Sequential(nn.Flatten(), layer), bits)


def small_model(bits: int = 12, channels: int = 1, size: int = 8, seed: int = 0) -> HashModel:
    """An untrained network with batch norm and dropout, whose modes must be kept."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = nn.Sequential(
            nn.Conv2d(channels, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(),
            nn.Linear(8 * (size // 2) ** 2, bits),
        )  # fmt: skip
    return HashModel(network, bits).eval()


def precision(victim: Victim, queries: Queries) -> np.ndarray:
    """The exact average precision of each query."""
    return exact_precision(victim, encode_batch(victim.model, queries.images), queries.labels).numpy()


def floor(victim: Victim, queries: Queries) -> np.ndarray:
    """The lowest average precision that any ranking gives each query."""
    return lowest_precision(victim, queries.labels).numpy()


def random_images(number: int, classes: int = 4, channels: int = 1, size: int = 8, seed: int = 0) -> ImageSet:
    """Random images that differ by class, each with one or two labels."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.zeros(number, classes)
    labels[torch.arange(number), torch.arange(number) % classes] = 1
    extra = torch.rand(number, classes, generator=generator) < 0.1
    means = torch.rand(classes, channels, size, size, generator=torch.Generator().manual_seed(99))
    images = means[torch.arange(number) % classes] + 0.2 * torch.randn(
        number, channels, size, size, generator=generator
    )
    return ImageSet(images.clamp(0, 1), (labels + extra).clamp(max=1))


def layers(model: HashModel) -> list[Any]:
    """The layers of a toy model's network."""
    return list(model.network.children())


def pixels(images: ImageSet) -> torch.Tensor:
    """All images of a set."""
    return images.images[torch.arange(len(images))]


def make_toy(model: HashModel, channels: int = 1, size: int = 8) -> tuple[Victim, Queries]:
    """A victim with random training and database images, and eight queries."""
    train = random_images(40, channels=channels, size=size, seed=1)
    queries = random_images(8, channels=channels, size=size, seed=2)
    database = random_images(60, channels=channels, size=size, seed=4)
    targets = draw_targets(queries.labels, database.labels, seed=5)
    batch = Queries(pixels(queries), queries.labels, torch.arange(8), seed=3, targets=targets)
    return make_victim(model, train, database), batch


def small_net(arrays: dict[str, torch.Tensor]) -> HashModel:
    """The small net of the golden numbers."""
    first, second = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 8, 3, stride=2)
    last = nn.Linear(32, arrays["net_fc_w"].shape[0])
    network = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), nn.Flatten(), last)
    names = ("net_conv1_w", "net_conv1_b", "net_conv2_w", "net_conv2_b", "net_fc_w", "net_fc_b")
    network.load_state_dict(dict(zip(network.state_dict(), (arrays[n] for n in names), strict=True)))
    return HashModel(network, last.out_features)
