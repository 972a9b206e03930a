"""Surrogates: models that a transfer attack trains for itself, knowing the victim's data but not its weights."""

from __future__ import annotations

import torch

from hashbench.clean import clean_training
from hashbench.codes import encode
from hashbench.data import Gallery, Victim
from hashbench.keeping import Tensors
from hashbench.model import HashModel, binarize
from hashbench.recipe import Recipe
from hashbench.registry import backbones, methods
from hashbench.spec import Spec


def surrogate_victim(victim: Victim, *, backbone: str, method: str, bits: int | None, epochs: int) -> Victim:
    """A victim of one's own: a model trained on the same images, whose training set is its database.

    The model is shared by all attacks on a data set that ask for the same one, whatever the defense.

    Args:
        backbone: a registered backbone, with its default parameters.
        method: a registered hashing method, with its default parameters.
        bits: code length; the victim's own where it is None.
        epochs: of its clean training.
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
        "backbone": network.label, "backbone_source": network.source, "method": objective.label,
        "method_source": objective.source, "bits": length, "epochs": epochs,
    }  # fmt: skip
    model = untrained()
    model.load_state_dict(victim.keep("surrogate", settings, make, of_victim=False))
    model.eval()
    return Victim(model, train, Gallery(binarize(encode(model, train)), train.labels.to(device)), victim.keep)
