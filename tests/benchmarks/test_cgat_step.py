"""A training step of CgAT beside the plain way of public codes, and its center codes alone.

The plain way, in our own words: gradients of the weights are made inside the attack too, center codes come
from a loop over the batch, clean and adversarial images go through the model one after the other. One batched
pass couples the two in a batch norm, so that the numbers of networks with batch norms are compared with their
running statistics, in double precision; dropout is off.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor, nn

from hashbench.crafting.objectives import agreement
from hashbench.models.codes import center_code
from hashbench.models.model import HashModel, binarize
from hashbench.models.precision import mixed_precision
from hashbench.models.quick_pooling import QuickMaxPool2d
from hashbench.registry.entries import backbones, methods
from hashbench.registry.protocols import Method
from hashbench.registry.spec import Spec
from hashbench.threat import Threat
from hashbench.training.adversarial import Guided, InnerAttack
from hashbench.training.guided import guided_loss

TRAIN, BATCH, SIDE, BITS, CLASSES, STEPS = 10_500, 32, 64, 32, 21, 7
EPS, RATIO = 8 / 255, 0.25


@dataclass
class Work:
    """A model with a batch and a memory of codes."""

    model: HashModel
    images: Tensor
    labels: Tensor
    index: Tensor
    guided: Guided
    method: Method


def make(backbone: str) -> Work:
    torch.manual_seed(0)
    network = backbones.choose(Spec(backbone, {"weights": "none"})).call(BITS, 3, SIDE)
    for module in network.modules():
        if type(module) is nn.Dropout:
            module.p = 0.0
    labels, codes = (torch.rand(TRAIN, CLASSES) < 0.1).float(), torch.rand(TRAIN, BITS) * 2 - 1
    method = methods.choose(Spec("csq")).call(codes, labels)
    index = torch.arange(BATCH)
    guided = Guided(codes, labels, center_code)
    return Work(HashModel(network, BITS), torch.rand(BATCH, 3, SIDE, SIDE), labels[:BATCH], index, guided, method)


def ours(work: Work) -> Tensor:
    centers = work.guided.codes(work.labels)
    crafted = InnerAttack(STEPS, RATIO).craft(
        work.model, work.images, lambda codes: agreement(codes, centers), Threat(EPS)
    )
    relaxed, attacked = work.model(torch.cat([work.images, crafted])).chunk(2)
    return guided_loss(work.method, work.guided, relaxed, attacked, work.labels, work.index, 1.0)


def looped_centers(codes: Tensor, code_labels: Tensor, labels: Tensor) -> Tensor:
    centers = []
    for wanted in labels:
        relevant = (code_labels @ wanted > 0).float()
        near = (relevant[:, None] * codes).sum(0)
        far = ((1 - relevant)[:, None] * codes).sum(0)
        centers.append(torch.sign((1 - relevant).sum() * near - relevant.sum() * far))
    return torch.stack(centers)


def plain(work: Work) -> Tensor:
    model, guided, was_training = work.model, work.guided, work.model.training
    centers = looped_centers(guided.memory, guided.labels, work.labels)
    model.eval()
    crafted = work.images + EPS * (2 * torch.rand(work.images.shape) - 1)
    crafted = crafted.clamp(0, 1)
    for _ in range(STEPS):
        crafted = crafted.detach().requires_grad_()
        (model(crafted) * centers).mean(1).sum().backward()  # type: ignore[no-untyped-call]
        assert crafted.grad is not None
        moved = crafted.detach() - EPS * RATIO * crafted.grad.sign()
        crafted = (work.images + (moved - work.images).clamp(-EPS, EPS)).clamp(0, 1)
    model.zero_grad()
    model.train(was_training)
    relaxed, attacked = model(work.images), model(crafted.detach())
    guided.memory[work.index] = binarize(relaxed.detach())
    toward = (attacked * looped_centers(guided.memory, guided.labels, work.labels)).mean()
    loss: Tensor = work.method(relaxed, work.labels, work.index) - toward
    return loss


def as_published(work: Work) -> Work:
    """The same work with the max pools of torch in the place of ours."""
    copied = copy.deepcopy(work)
    for module in copied.model.modules():
        if isinstance(module, QuickMaxPool2d):
            module.__class__ = nn.MaxPool2d  # type: ignore[assignment]
    return copied


def step(way: Callable[[Work], Tensor], work: Work) -> tuple[float, float]:
    """The loss of a step with its backward pass, and the processor seconds it takes on its one thread."""
    work.model.zero_grad()
    torch.manual_seed(1)
    began = time.thread_time()
    loss = way(work)
    loss.backward()  # type: ignore[no-untyped-call]
    return loss.item(), time.thread_time() - began


def products_alone(work: Work) -> float:
    """The processor seconds of a step's convolutions and linear layers, with no more gradients than ours takes."""
    given: list[tuple[nn.Module, Tensor]] = []
    layers = [layer for layer in work.model.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    hooks = [layer.register_forward_pre_hook(lambda layer, args: given.append((layer, args[0]))) for layer in layers]
    with torch.no_grad():
        work.model(work.images)
    for hook in hooks:
        hook.remove()
    return sum(layer_alone(layer, images) for layer, images in given)


def layer_alone(layer: nn.Module, images: Tensor) -> float:
    """The same of one layer, from the best of three passes forwards, to its input and to its weights."""
    layer = copy.deepcopy(layer)
    best = [float("inf")] * 3
    for _ in range(3):
        began = time.thread_time()
        with torch.no_grad():
            slopes = layer(images)
        best[0] = min(best[0], time.thread_time() - began)
        for place, wanted in ((1, [images]), (2, list(layer.parameters()))):
            layer.requires_grad_(place == 2)
            images.requires_grad_(place == 1)
            found = layer(images)
            began = time.thread_time()
            torch.autograd.grad(found, wanted, slopes)
            best[place] = min(best[place], time.thread_time() - began)
    return (STEPS + 2) * (best[0] + best[1]) + 2 * best[2]


def in_double(work: Work) -> list[float]:
    """The loss of a step either way, in double precision: in single, rounding decides the sign of tiny gradients."""
    work.model.eval()
    for module in (work.model, work.guided, work.method):
        module.double()
    work.images, work.labels = work.images.double(), work.labels.double()
    torch.set_default_dtype(torch.float64)
    try:
        return [step(way, copy.deepcopy(work))[0] for way in (ours, plain)]
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.usefixtures("measuring")
@pytest.mark.parametrize("backbone", ["vgg11", "resnet18"])
def test_step(benchmark: BenchmarkFixture, backbone: str) -> None:
    losses = in_double(make(backbone))
    work = make(backbone)
    work.model.train()
    published = as_published(work)
    times = [(step(ours, work)[1], step(plain, published)[1], step(plain, work)[1]) for _ in range(3)]
    fast, slow, with_our_pools = (min(seconds) for seconds in zip(*times, strict=True))
    benchmark.pedantic(step, (ours, work), rounds=1)  # type: ignore[no-untyped-call]
    alone = products_alone(work) / slow
    limit = max(0.65, 1.2 * alone)  # processors differ in what gradients of weights cost
    benchmark.extra_info |= {
        "plain": "weight gradients, loop, two passes", "limit": limit, "goal": 0.5, "ratio": fast / slow,
        "with our max pools in both": fast / with_our_pools, "convolutions and linear layers alone": alone,
        "why": f"were all but its convolutions and linear layers free, it would be {alone:.2f}",
    }  # fmt: skip
    assert abs(losses[0] - losses[1]) <= 1e-5
    assert fast / slow <= limit


@pytest.mark.usefixtures("measuring")
def test_step_in_mixed_precision(benchmark: BenchmarkFixture) -> None:
    work = make("resnet18")
    work.model.train()

    def mixed(given: Work) -> Tensor:
        with mixed_precision():
            return ours(given)

    pairs = [(step(mixed, work), step(ours, work)) for _ in range(3)]
    fast, full = (min(seconds for _, seconds in way) for way in zip(*pairs, strict=True))
    benchmark.pedantic(step, (mixed, work), rounds=1)  # type: ignore[no-untyped-call]
    benchmark.extra_info |= {"plain": "the step in single precision", "ratio": fast / full}
    (one, _), (other, _) = pairs[0]
    assert one == pytest.approx(other, rel=0.02)


@pytest.mark.usefixtures("measuring")
def test_center_codes(benchmark: BenchmarkFixture) -> None:
    torch.manual_seed(0)
    codes, labels = binarize(torch.rand(TRAIN, BITS) - 0.5), (torch.rand(TRAIN, CLASSES) < 0.1).float()
    given = codes, labels, labels[:BATCH]
    assert torch.equal(center_code(*given), looped_centers(*given))

    def seconds(way: Callable[[Tensor, Tensor, Tensor], Tensor]) -> float:
        began = time.perf_counter()
        way(*given)
        return time.perf_counter() - began

    ratio = min(seconds(center_code) for _ in range(300)) / min(seconds(looped_centers) for _ in range(10))
    benchmark(center_code, *given)
    benchmark.extra_info |= {
        "plain": "loop over the batch", "limit": "1/8", "ratio": ratio, "goal": 1 / 30,
        "why": "the two products take four fifths of it, at what a core can do; all is 1/1000 of a step or less",
    }  # fmt: skip
    assert ratio <= 1 / 8
