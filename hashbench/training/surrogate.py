"""Surrogates: models that a transfer attack trains itself, knowing the victim's data but not its weights."""

from __future__ import annotations

from collections.abc import Callable

import torch

from hashbench.models.codes import encode
from hashbench.models.data import Gallery, Victim
from hashbench.models.helpers import NONE, Keep, Settings, Tensors, Versions
from hashbench.models.model import HashModel, binarize
from hashbench.registry.entries import backbones, methods
from hashbench.registry.spec import Spec
from hashbench.training.recipe import Recipe
from hashbench.training.undefended import clean_training

# What the seeds of the first surrogates were derived from; it keeps their weights. Other entries have no such part.
SEEDED = {"cnn": "60823a117d3816cc", "csq": "d11a47fd13f420f0"}


def surrogate_victim(victim: Victim, *, backbone: str, method: str, bits: int | None, epochs: int) -> Victim:
    """A surrogate victim: a model trained on the same images, with its training set as its database.

    All attacks on a data set that use the same surrogate share it, whatever the defense.

    Args:
        backbone: a registered backbone, with its default parameters.
        method: a registered hashing method, with its default parameters.
        bits: code length; None for the victim's.
        epochs: epochs of its clean training.
    """
    train = victim.train
    network, objective = backbones.choose(Spec.parse(backbone)), methods.choose(Spec.parse(method))
    length = victim.model.bits if bits is None else bits
    device = victim.gallery.codes.device
    sample = train.images[torch.arange(1)]

    def untrained() -> HashModel:
        return HashModel(network.call(length, sample.shape[1], sample.shape[2]), length).to(device)

    def make() -> Tensors:
        model = untrained()
        loss = objective.call(encode(model, train), train.labels.to(device)).to(device)
        return clean_training(model, train, loss, recipe=Recipe(epochs=epochs)).state_dict()

    settings = {
        "backbone": network.label, "backbone_source": SEEDED.get(network.name, ""), "method": objective.label,
        "method_source": SEEDED.get(objective.name, ""), "bits": length, "epochs": epochs,
    }  # fmt: skip
    versions = {**network.versions("backbone"), **objective.versions("method")}
    model = untrained()
    model.load_state_dict(victim.keep("surrogate", settings, make, of_victim=False, versions=versions))
    model.eval()
    gallery = Gallery(binarize(encode(model, train)), train.labels.to(device))
    return Victim(model, train, gallery, _kept_apart(victim.keep, settings, versions))


def _kept_apart(keep: Keep, surrogate: Settings, versions: Versions) -> Keep:
    """A victim's `keep` for helpers that are trained for its surrogate: each surrogate has its own."""

    def kept(
        name: str, settings: Settings, make: Callable[[], Tensors], *, of_victim: bool = True, versions: Versions = NONE
    ) -> Tensors:
        seen = {**settings, "surrogate": dict(surrogate)}
        return keep(name, seen, make, of_victim=of_victim, versions={**versions, **own})

    own = {f"surrogate.{role}": version for role, version in versions.items()}
    return kept
