"""Canaries: a few digits of every attack, defense and hashing method, which move when its results would.

Each is computed in double precision from data and a network of its own, so that neither a processor's rounding nor
another entry has a part in it.
"""

from __future__ import annotations

import functools
import inspect
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from hashbench.evaluation.judge import make_victim
from hashbench.models.codes import encode
from hashbench.models.data import ImageSet, Queries, Victim
from hashbench.models.helpers import NONE, Settings, Tensors, Versions, train_anew
from hashbench.models.model import HashModel
from hashbench.models.pass_counter import Passes, counted
from hashbench.registry import entries
from hashbench.registry.entries import Choice, Entry, Registry
from hashbench.registry.parameters import format_value, parameters
from hashbench.registry.protocols import Method
from hashbench.registry.spec import Spec
from hashbench.seeds import seeded
from hashbench.threat import Threat
from hashbench.training import loop
from hashbench.types import Codes, Images, Index, Labels, Scalar

ROOT = Path(__file__).resolve().parent.parent
BITS, CLASSES, SIZE = 12, 4, 8
THREAT = Threat(0.1)
EPOCHS, BATCH = "2", "16"  # of a defense's training
# Attacks that train a surrogate by the training loop, whose version is then one that their digits follow.
WITH_SURROGATE = ("nag", "standard", "transfer")

Digits = dict[str, list[float]]


@dataclass(frozen=True)
class Canary:
    """What is pinned of one entry, or of one part of the protocol.

    Attributes:
        version: its own.
        raising: how to raise it, up to the place where it stands.
        others: what else a result's key holds that its digits follow: versions of others, parameters.
    """

    name: str
    version: int
    raising: str
    compute: Callable[[], Digits]
    others: Mapping[str, str] = field(default_factory=dict)


def attack_canaries() -> list[Canary]:
    """One for each registered attack, crafted with its preset `quick` where it has one."""
    return [_attack_canary(_quick(entries.attacks, entry.name)) for entry in entries.attacks]


def defense_canaries() -> list[Canary]:
    """One for each registered defense, trained for two epochs where it trains."""
    return [_defense_canary(entry.name) for entry in entries.defenses]


def method_canaries() -> list[Canary]:
    """One for each registered hashing method."""
    return [of_entry(entries.methods.choose(Spec(entry.name)), "method", _method_digits) for entry in entries.methods]


def of_entry(choice: Choice[Any], kind: str, compute: Callable[[Choice[Any]], Digits], **others: int) -> Canary:
    """The canary of a registered entry with its parameters."""
    entry = choice.entry
    inner = {name: str(version) for name, version in choice.versions(kind).items() if name != kind}
    known = {name: str(version) for name, version in others.items()}
    values = {f"parameter {name}": value for name, value in shown(choice).items()}
    return Canary(entry.name, entry.version, raising(entry), lambda: compute(choice), {**inner, **known, **values})


def raising(entry: Entry[Any]) -> str:
    """How to raise the version of a registered entry."""
    return f"raise version={entry.version} to {entry.version + 1} in {place(inspect.unwrap(entry.function))}"


def place(thing: Any) -> str:
    """The file of a function or a module, from the root of the repository."""
    path = Path(inspect.getfile(thing)).resolve()
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.name


def shown(choice: Choice[Any]) -> dict[str, str]:
    """The parameters that are part of a key, as text; without files, whose places differ from machine to machine."""
    places = {p.name for p in parameters(choice.entry.function) if p.kind is Path or p.content}
    return {name: format_value(value) for name, value in choice.visible.items() if name not in places}


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
    """A network with batch norm whose codes are far from zero and from saturation, drawn by torch's generator."""
    with seeded(seed):
        norm, last = nn.BatchNorm2d(6), nn.Linear(96, BITS)
        network = nn.Sequential(nn.Conv2d(1, 6, 3, 2, 1, bias=False), norm, nn.ReLU(), nn.Flatten(), last)
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.uniform_(norm.bias, -0.2, 0.2)
        nn.init.uniform_(last.weight, -0.4, 0.4)
        norm.running_mean, norm.running_var = torch.rand(6) - 0.5, torch.rand(6) + 0.1
    return network


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


def _quick(registry: Registry[Any], name: str) -> Choice[Any]:
    return registry.choose(Spec(name, {"preset": "quick"} if "quick" in registry[name].presets else {}))


def _attack_canary(choice: Choice[Any]) -> Canary:
    others = {"training": loop.TRAINING_VERSION} if choice.name in WITH_SURROGATE else {}
    return of_entry(choice, "attack", _attack_digits, **others)


def _attack_digits(choice: Choice[Any]) -> Digits:
    """Of each query's image: the l2 of its change, its projection and the sum of its relaxed code; and the passes."""
    double = not choice.name.startswith("art-")  # ART computes in single precision
    with steady(double=double):
        model = small_model() if double else HashModel(SinglePrecisionOutside(small_network()), BITS).eval()
        found = make_victim(model, small_images(40, seed=1), small_images(60, seed=2))
        victim = Victim(model, found.train, found.gallery, functools.partial(_keep, choice.name))
        queries, passes = small_queries(), Passes()
        with counted(model, passes):
            crafted = choice.call(victim, THREAT)(queries)
        change, codes = (crafted - queries.images).flatten(1), model(crafted)
    return {
        "l2": change.double().norm(dim=1).tolist(),
        "projection": projections(crafted),
        "sum of codes": codes.double().sum(1).tolist(),
        "passes": [float(passes.forwards), float(passes.backwards)],
    }


def small_queries() -> Queries:
    """Eight queries; each has one of the classes that it lacks as its target."""
    images = small_images(8, seed=3)
    lacking = [(labels == 0).nonzero().flatten() for labels in images.labels]
    classes = torch.stack([free[place % len(free)] for place, free in enumerate(lacking)])
    targets = nn.functional.one_hot(classes, CLASSES).to(images.labels.dtype)
    return Queries(all_images(images), images.labels, torch.arange(8), seed=7, targets=targets)


def _keep(
    owner: str,
    name: str,
    settings: Settings,
    make: Callable[[], Tensors],
    *,
    of_victim: bool = True,
    versions: Versions = NONE,
) -> Tensors:
    assert name != "surrogate" or owner in WITH_SURROGATE, f"add {owner!r} to WITH_SURROGATE"
    return train_anew(name, settings, make, of_victim=of_victim, versions=versions)


def _defense_canary(name: str) -> Canary:
    entry = entries.defenses[name]
    known = {parameter.name for parameter in parameters(entry.function)}
    words = {word: value for word, value in (("epochs", EPOCHS), ("batch_size", BATCH)) if word in known}
    others = {"training": loop.TRAINING_VERSION} if entry.trains else {}
    return of_entry(entries.defenses.choose(Spec(name, words)), "defense", _defense_digits, **others)


def _defense_digits(choice: Choice[Any]) -> Digits:
    """Of each tensor of the defended model its sum and projection; codes of images, and their gradients."""
    with steady(), _weights_file(choice) as chosen:
        model, train = small_model(), small_images(64, seed=1)
        with seeded(5):
            defended = chosen.call(model, train, PairAgreement(encode(model, train), train.labels), THREAT)
        images = all_images(small_images(6, seed=3)).requires_grad_()
        codes = defended(images)
        (gradient,) = torch.autograd.grad(codes.sum(), images)
        weights = of_tensors(defended.state_dict())
    return {**weights, "codes": codes.sum(1).tolist(), "gradients": projections(gradient)}


@contextmanager
def _weights_file(choice: Choice[Any]) -> Iterator[Choice[Any]]:
    """The choice; a parameter `file` names the weights of another network."""
    if "file" not in choice.params:
        yield choice
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.safetensors"
        save_file(small_model(seed=1).state_dict(), path)
        yield Choice(choice.entry, {**choice.params, "file": path})


def _method_digits(choice: Choice[Any]) -> Digits:
    """Loss, gradient and memory over three batches, the last of which brings images again."""
    found: Digits = {}
    with steady():
        labels = small_images(24, seed=1).labels
        method = choice.call(torch.tanh(torch.randn(24, BITS)), labels)
        for number, index in enumerate((torch.arange(10), torch.arange(10, 20), torch.arange(4, 16))):
            codes = torch.tanh(torch.randn(len(index), BITS)).requires_grad_()
            loss = method(codes, labels[index], index)
            gradients = torch.autograd.grad(loss, [codes, *method.parameters()])
            found[f"loss of batch {number}"] = [loss.item()]
            found[f"gradients of batch {number}"] = [projection(gradient) for gradient in gradients]
        kept = {name: tensor for name, tensor in method.state_dict().items() if tensor.is_floating_point()}
    return {**found, **of_tensors(kept)}
