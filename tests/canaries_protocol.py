"""Canaries of what no registry holds: the judge, the training loop, the surrogates and the probe."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch
from canaries import Canary, place
from canary_tools import (
    BITS,
    SIZE,
    THREAT,
    TRAINING,
    Digits,
    PairAgreement,
    all_images,
    of_tensors,
    small_images,
    small_model,
    steady,
    sum_and_projection,
)

from hashbench.crafting.targets import draw_targets
from hashbench.evaluation import judge as judging
from hashbench.evaluation import probe as probing
from hashbench.models.codes import encode
from hashbench.models.data import ImageSet, Queries, Victim
from hashbench.models.model import HashModel
from hashbench.registry import entries
from hashbench.registry.entries import Choice
from hashbench.registry.entry import Entry
from hashbench.registry.protocols import Craft
from hashbench.threat import Threat
from hashbench.training import loop
from hashbench.training.recipe import Recipe
from hashbench.training.surrogate import surrogate_victim
from hashbench.training.undefended import clean_training
from hashbench.types import Images

DATABASE = 1300  # more than the k of AP@k
RECIPES = {
    "adam": Recipe(epochs=2, batch_size=16),
    "sgd": Recipe(epochs=3, batch_size=20, optimiser="sgd", schedule="thirds", learning_rate=0.05, weight_decay=5e-4),
    "halves": Recipe(epochs=2, batch_size=21, optimiser="sgd", schedule="halves", learning_rate=0.05, momentum=0.5),
}


def protocol_canaries() -> list[Canary]:
    """Each with the version of its own."""
    inner = {"backbone": str(entries.backbones["cnn"].version), "method": str(entries.methods["csq"].version)}
    return [
        _of_constant("judge", judging, "PROTOCOL_VERSION", _judged),
        _of_constant("judge-targeted", judging, "PROTOCOL_VERSION", _judged_with_targets),
        _of_constant("probe", probing, "PROBE_VERSION", _probed),
        _of_constant("surrogate", loop, "TRAINING_VERSION", _surrogate, **inner),
        *(
            _of_constant(f"training-{name}", loop, "TRAINING_VERSION", functools.partial(_trained, recipe))
            for name, recipe in RECIPES.items()
        ),
    ]


def _of_constant(name: str, home: ModuleType, word: str, compute: Callable[[], Digits], **others: str) -> Canary:
    version: int = getattr(home, word)
    return Canary(name, version, f"raise {word} from {version} to {version + 1} in {place(home)}", compute, others)


def _checkered(victim: Victim, threat: Threat) -> Craft:
    """An attack of the canaries' own: random signs times eps, with two passes a query."""

    def craft(queries: Queries) -> Images:
        images = queries.images.clone().requires_grad_()
        torch.autograd.grad(victim.model(images).sum(), images)
        signs = queries.random().sign()
        return threat.project(queries.images + threat.eps * signs * torch.rand(1), queries.images)

    return craft


CHECKERED: Choice[Any] = Choice(Entry("checkered", _checkered), {})


def _world() -> tuple[Victim, ImageSet]:
    model = small_model()
    victim = judging.make_victim(model, small_images(TRAINING, seed=1), small_images(DATABASE, seed=2))
    return victim, small_images(80, seed=3)


def _digits(found: judging.Measurement) -> Digits:
    """Every number, and two digits of every array; what is not a number counts as -1."""
    arrays = {name: torch.from_numpy(values).double().nan_to_num(-1) for name, values in found.arrays.items()}
    numbers = {name: [float(value)] for name, value in found.numbers.items()}
    return {**numbers, **{f"array {name}": digits for name, digits in of_tensors(arrays).items()}}


def _judged() -> Digits:
    with steady():
        victim, queries = _world()
        queries.labels[5] = 0  # a query without relevant items
        return _digits(judging.judge(CHECKERED, victim, queries, THREAT, seed=11))


def _judged_with_targets() -> Digits:
    with steady():
        victim, queries = _world()
        targets = draw_targets(queries.labels, victim.gallery.labels, seed=13)
        found = judging.judge(CHECKERED, victim, queries, THREAT, seed=11, targets=targets)
        return {"targets": sum_and_projection(targets), **_digits(found)}


def _trained(recipe: Recipe) -> Digits:
    with steady():
        model, train = small_model(), small_images(TRAINING, seed=1)
        clean_training(model, train, PairAgreement(encode(model, train), train.labels), recipe=recipe)
        codes = encode(model, small_images(6, seed=3))
    return {**of_tensors(model.state_dict()), "codes": codes.sum(1).tolist()}


def _surrogate() -> Digits:
    with steady():
        model = small_model()
        victim = judging.make_victim(model, small_images(TRAINING, seed=1), small_images(60, seed=2))
        own = surrogate_victim(victim, backbone="cnn", method="csq", bits=None, epochs=2)
        codes = own.model(torch.rand(6, 1, SIZE, SIZE))
    return {"codes": codes.sum(1).tolist(), "gallery": sum_and_projection(own.gallery.codes), "bits": [own.model.bits]}


def _probed() -> Digits:
    """The signals of a model with saturated logits; its black-box attack is the canaries' own."""
    with steady():
        victim, _ = _world()
        undefended = judging.make_victim(small_model(seed=1), victim.train, small_images(60, seed=2))
        queries = probing.sample(small_images(120, seed=3), seed=17)
        steep = judging.make_victim(HashModel(_steep(victim.model), BITS), victim.train, small_images(60, seed=2))
        first = ImageSet(all_images(queries)[:12], queries.labels[:12])
        found = probing.probe(steep, first, THREAT, 19, black_box=CHECKERED, undefended=undefended)
        sampled = sum_and_projection(all_images(queries))
    return {"sample": sampled, **_digits(found)}


def _steep(model: HashModel) -> torch.nn.Module:
    *_, last = model.network.children()
    assert isinstance(last, torch.nn.Linear)
    last.weight.data *= 4
    last.bias.data *= 4
    return model.network
