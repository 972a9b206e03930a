"""Attacks and encoding beside the plain way of public codes, in our own words."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from hashbench.attacks.pgd_hamming import pgd_hamming
from hashbench.evaluation.judge import make_victim
from hashbench.models.codes import center_code, encode
from hashbench.models.data import ImageSet, Queries, Victim
from hashbench.models.model import HashModel
from hashbench.models.quick_pooling import with_quick_pools
from hashbench.registry.attack_guard import guarded
from hashbench.registry.entries import backbones
from hashbench.registry.spec import Spec
from hashbench.threat import Threat

QUERIES, STEPS, EPS, BITS = 32, 20, 8 / 255, 32


def make(backbone: str, side: int, train: int = 64) -> tuple[Victim, Queries]:
    torch.manual_seed(0)
    channels = 1 if backbone == "cnn" else 3
    given = {} if backbone == "cnn" else {"weights": "none"}
    model = HashModel(backbones.choose(Spec(backbone, given)).call(BITS, channels, side), BITS).eval()
    images, labels = torch.rand(train, channels, side, side), (torch.rand(train, 10) < 0.3).float()
    known = ImageSet(images, labels)
    queries = Queries(torch.rand(QUERIES, channels, side, side), labels[:QUERIES], torch.arange(QUERIES))
    return make_victim(model, known, known), queries


@pytest.mark.usefixtures("measuring")
@pytest.mark.parametrize("shape", [(32, 64, 32, 32), (32, 64, 64, 64)], ids=["ResNet18", "VGG11"])
def test_max_pool(benchmark: BenchmarkFixture, shape: tuple[int, ...]) -> None:
    """The first pool of a network at 64 pixels, with its gradient."""
    torch.manual_seed(0)
    images = torch.randn(shape).relu().requires_grad_()
    pool = nn.MaxPool2d(3, 2, 1) if shape[-1] == 32 else nn.MaxPool2d(2)

    def passed(way: nn.Module) -> float:
        began = time.perf_counter()
        torch.autograd.grad(way(images).sum(), images)
        return time.perf_counter() - began

    quick = with_quick_pools(pool)
    pairs = [(passed(quick), passed(pool)) for _ in range(20)]
    fast, slow = (min(seconds) for seconds in zip(*pairs, strict=True))
    benchmark(passed, quick)
    benchmark.extra_info |= {"plain": "the pool of torch", "ratio": fast / slow}
    assert fast < slow


def plain_pgd(victim: Victim, queries: Queries) -> Tensor:
    """The same search with gradients of the weights too, and a second pass to rank what a step gave."""
    model, centers = victim.model, center_code(victim.gallery.codes, victim.train.labels, queries.labels)
    clean = queries.images
    images = (clean + EPS * queries.random()).clamp(0, 1)
    best, lowest = images, torch.full((len(clean),), torch.inf)
    for _ in range(STEPS):
        images = images.detach().requires_grad_()
        model.zero_grad()
        (model(images) * centers).mean(1).sum().backward()  # type: ignore[no-untyped-call]
        assert images.grad is not None
        moved = images.detach() - EPS / 4 * images.grad.sign()
        images = (clean + (moved - clean).clamp(-EPS, EPS)).clamp(0, 1)
        with torch.no_grad():
            found = (model(images) * centers).mean(1)
        best = torch.where((found < lowest)[:, None, None, None], images, best)
        lowest = torch.minimum(found, lowest)
    return best


def ours(victim: Victim, queries: Queries) -> Tensor:
    return guarded(pgd_hamming, "white")(victim, Threat(EPS), steps=STEPS, restarts=1)(queries)


def plain_codes(victim: Victim) -> Tensor:
    """Image by image through a loader, in small batches, with the graph that nobody asks for."""
    assert isinstance(victim.train.images, Tensor)
    loader = DataLoader(TensorDataset(victim.train.images, victim.train.labels), batch_size=32)
    return torch.cat([victim.model(images).detach() for images, _ in loader])


def seconds(function: Callable[..., Tensor], *args: object) -> float:
    began = time.perf_counter()
    function(*args)
    return time.perf_counter() - began


@pytest.mark.usefixtures("measuring")
@pytest.mark.parametrize(("backbone", "side"), [("cnn", 16), ("resnet18", 64)])
def test_pgd(benchmark: BenchmarkFixture, backbone: str, side: int) -> None:
    victim, queries = make(backbone, side)
    ours(victim, queries)
    pairs = [(seconds(ours, victim, queries), seconds(plain_pgd, victim, queries)) for _ in range(3)]
    fast, slow = (min(times) for times in zip(*pairs, strict=True))
    benchmark.pedantic(ours, (victim, queries), rounds=1)  # type: ignore[no-untyped-call]
    benchmark.extra_info |= {"plain": "weight gradients, a further pass a step", "ratio": fast / slow}
    assert fast < slow


@pytest.mark.usefixtures("measuring")
def test_encoding(benchmark: BenchmarkFixture) -> None:
    victim, _ = make("cnn", 16, train=4000)
    assert torch.allclose(encode(victim.model, victim.train), plain_codes(victim), atol=1e-5)
    pairs = [(seconds(encode, victim.model, victim.train), seconds(plain_codes, victim)) for _ in range(5)]
    fast, slow = (min(times) for times in zip(*pairs, strict=True))
    benchmark.pedantic(encode, (victim.model, victim.train), rounds=3)  # type: ignore[no-untyped-call]
    benchmark.extra_info |= {"plain": "a loader, batches of 32, with a graph", "ratio": fast / slow}
    assert fast < slow
