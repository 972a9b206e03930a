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
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from canary_tools import (
    BITS,
    CLASSES,
    RADIUS,
    SQUARE,
    THREAT,
    TRAINING,
    Digits,
    PairAgreement,
    SinglePrecisionOutside,
    all_images,
    of_tensors,
    projection,
    projections,
    small_images,
    small_model,
    small_network,
    steady,
)
from safetensors.torch import save_file
from torch import nn

from hashbench.evaluation.judge import make_victim
from hashbench.models.codes import encode
from hashbench.models.data import Queries, Victim
from hashbench.models.helpers import NONE, Settings, Tensors, Versions, train_anew
from hashbench.models.model import HashModel
from hashbench.models.pass_counter import Passes, counted
from hashbench.registry import entries
from hashbench.registry.entries import Choice, Registry
from hashbench.registry.entry import Entry
from hashbench.registry.parameters import Parameter, format_value, parameters
from hashbench.registry.spec import Spec
from hashbench.seeds import seeded
from hashbench.threat import Threat
from hashbench.training import loop

ROOT = Path(__file__).resolve().parent.parent
EPOCHS, BATCH = "2", "16"  # of a defense's training
# Where the preset `quick` ends before all of an attack was used.
# ProS-GAN no longer: its training carries a rounding error a hundred times farther with each step.
LONGER = {
    "pros-gan": {"preset": "quick", "epochs": "2", "batch_size": "20"},
    "square-hamming": {"steps": "60"},
    "square-ranking": {"steps": "60", "top": "10"},
    "standard": {"share": "1"},
    "standard-2": {"share": "1"},
    "standard-3": {"share": "1"},
    "uap-hamming": {"epochs": "3", "batch_size": "10"},
}
# Codes and classes of a method's canary: fewer classes than bits, a power of two of bits, more classes than bits.
SHAPES = ((BITS, CLASSES), (16, 6), (8, 20))
# Attacks that train a surrogate by the training loop, whose version is then one that their digits follow.
WITH_SURROGATE = ("nag", "standard", "standard-2", "standard-3", "transfer")


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
    """Those of each registered attack, crafted with its preset `quick` where it has one, by its threats."""
    return [_attack_canary(variant) for entry in entries.attacks for variant in under_threats(entries.attacks, entry)]


def defense_canaries() -> list[Canary]:
    """Those of each registered defense, trained for two epochs where it trains, by its threats."""
    return [
        _defense_canary(variant) for entry in entries.defenses for variant in under_threats(entries.defenses, entry)
    ]


def method_canaries() -> list[Canary]:
    """Those of each registered hashing method."""
    return [
        of_entry(variant, "method", _method_digits)
        for entry in entries.methods
        for variant in variants(entries.methods, entry.name)
    ]


@dataclass(frozen=True)
class Variant:
    """An entry with its parameters, and the word that makes it another one than the entry at its cheapest.

    Attributes:
        threat: what it is pinned under, if it takes one.
    """

    choice: Choice[Any]
    word: str = ""
    threat: Threat = THREAT

    @property
    def name(self) -> str:
        """The entry's name with the word."""
        return f"{self.choice.name}:{self.word}" if self.word else self.choice.name


def under_threats(registry: Registry[Any], entry: Entry[Any]) -> list[Variant]:
    """Its variants under l-inf, or else under a patch, and the cheapest one under l2 too if it works with both."""
    known = variants(registry, entry.name)
    if "linf" not in entry.threats:
        return [replace(variant, threat=SQUARE) for variant in known]
    return [*known, *([replace(known[0], word="l2", threat=RADIUS)] if "l2" in entry.threats else [])]


def variants(registry: Registry[Any], name: str) -> list[Variant]:
    """An entry at its cheapest, and with one parameter of its own changed: each other word, and 0 that is raised."""
    entry = registry[name]
    known = {parameter.name: parameter for parameter in parameters(entry.function)}
    cheap = {word: value for word, value in (("epochs", EPOCHS), ("batch_size", BATCH)) if word in known}
    if "quick" in entry.presets:
        cheap = LONGER.get(name, {"preset": "quick"})
    found = [Variant(registry.choose(Spec(name, cheap)))]
    for own in sorted(inspect.signature(entry.function).parameters.keys() & known.keys()):
        others = other_words(known[own])
        found += [Variant(registry.choose(Spec(name, {**cheap, own: value})), f"{own}={value}") for value in others]
    return found


def other_words(parameter: Parameter) -> list[str]:
    """Values that make a parameter's function take another path than its default does."""
    if parameter.default == 0 and parameter.kind in (int, float):
        return ["1" if parameter.kind is int else "0.5"]
    words = [str(word) for word in parameter.choices] or (["true", "false"] if parameter.kind is bool else [])
    return [word for word in words if str(parameter.read(str(word))) != str(parameter.default)]


def of_entry(variant: Variant, kind: str, compute: Callable[[Choice[Any]], Digits], **others: int) -> Canary:
    """The canary of a registered entry with its parameters."""
    choice, entry = variant.choice, variant.choice.entry
    inner = {name: str(version) for name, version in choice.versions(kind).items() if name != kind}
    known = {name: str(version) for name, version in others.items()}
    values = {f"parameter {name}": value for name, value in shown(choice).items()}
    return Canary(variant.name, entry.version, raising(entry), lambda: compute(choice), {**inner, **known, **values})


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


def _attack_canary(variant: Variant) -> Canary:
    others = {"training": loop.TRAINING_VERSION} if variant.choice.name in WITH_SURROGATE else {}
    return of_entry(variant, "attack", functools.partial(_attack_digits, threat=variant.threat), **others)


def _attack_digits(choice: Choice[Any], threat: Threat) -> Digits:
    """Of each query's image: the l2 of its change, its projection and the sum of its relaxed code; and the passes."""
    double = not choice.name.startswith("art-")  # ART computes in single precision
    with steady(double=double):
        model = small_model() if double else HashModel(SinglePrecisionOutside(small_network()), BITS).eval()
        found = make_victim(model, small_images(TRAINING, seed=1), small_images(60, seed=2))
        victim = Victim(model, found.train, found.gallery, functools.partial(_keep, choice.name))
        queries, passes = small_queries(), Passes()
        with counted(model, passes):
            crafted = choice.call(victim, threat)(queries)
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


def _defense_canary(variant: Variant) -> Canary:
    others = {"training": loop.TRAINING_VERSION} if variant.choice.entry.trains else {}
    return of_entry(variant, "defense", functools.partial(_defense_digits, threat=variant.threat), **others)


def _defense_digits(choice: Choice[Any], threat: Threat) -> Digits:
    """Of each tensor of the defended model its sum and projection; codes of images, and their gradients."""
    with steady(), _weights_file(choice) as chosen:
        model, train = small_model(), small_images(TRAINING, seed=1)
        with seeded(5):
            defended = chosen.call(model, train, PairAgreement(encode(model, train), train.labels), threat)
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
    """Loss, gradients and memory over three batches, the last of which brings images again; then two single images."""
    found: Digits = {}
    batches = [torch.arange(10), torch.arange(10, 20), torch.arange(4, 16), torch.tensor([2]), torch.tensor([3])]
    for bits, classes in SHAPES:
        with steady():
            labels = (torch.rand(24, classes) < 1.5 / classes).to(torch.get_default_dtype())
            method = choice.call(torch.tanh(torch.randn(24, bits)), labels)
            for number, index in enumerate(batches):
                codes = torch.tanh(torch.randn(len(index), bits)).requires_grad_()
                loss = method(codes, labels[index], index)
                gradients = torch.autograd.grad(loss, [codes, *method.parameters()])
                digits = [loss.item(), *(projection(gradient) for gradient in gradients)]
                found[f"loss and gradients of batch {number}, {bits} bits"] = digits
            kept = {name: tensor for name, tensor in method.state_dict().items() if tensor.is_floating_point()}
        found |= {f"{name}, {bits} bits": digits for name, digits in of_tensors(kept).items()}
    return found
