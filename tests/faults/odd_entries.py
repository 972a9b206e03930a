"""A plugin: tiny data sets at the edges of what can be measured, broken models, and an attack with side effects."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import torch

from hashbench import Craft, HashModel, ImageSet, Queries, RetrievalSplit, Threat, Victim, attack, dataset, defense
from hashbench import split_of_tensors as split
from hashbench.registry.protocols import Method

CLASSES = 3


def drawn(number: int, seed: int, classes: int = CLASSES, width: int = 8) -> ImageSet:
    """Images [number, 1, 8, width] that differ by class, each with one label."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.eye(classes)[torch.arange(number) % classes]
    means = torch.rand(classes, 1, 8, width, generator=torch.Generator().manual_seed(99))
    noise = 0.1 * torch.randn(number, 1, 8, width, generator=generator)
    return ImageSet((means[torch.arange(number) % classes] + noise).clamp(0, 1), labels)


@dataset("odd")
def odd(*, kind: str = "plain") -> RetrievalSplit:
    """60 training images, 12 queries, 6 validation queries and a database of 30, of some kind."""
    classes, width = (1 if kind == "one class" else CLASSES), (12 if kind == "not square" else 8)
    train, queries, validation, database = (drawn(n, n, classes, width) for n in (60, 12, 6, 30))
    if kind == "none relevant":
        queries = ImageSet(queries.images, torch.zeros(12, CLASSES))
    if kind == "one item":
        database = ImageSet(database.images[:1], database.labels[:1])
    if kind == "one query":
        queries = ImageSet(queries.images[:1], queries.labels[:1])
    return split(train=train, queries=queries, validation=validation, database=database, eps=8 / 255)


@defense("odd-weights")
def odd_weights(model: HashModel, train: ImageSet, method: Method, threat: Threat, *, value: str = "0") -> HashModel:
    """Weights that are no numbers."""
    for weight in model.parameters():
        weight.data.fill_(float(value))
    return model


@attack("odd-effects")
def odd_effects(victim: Victim, threat: Threat, *, removes: str = "") -> Craft:
    """Leaves the images alone; removes a folder of the working folder, and notes that it was called."""

    def craft(queries: Queries) -> torch.Tensor:
        with Path("crafted").open("a") as file:
            file.write(f"{os.getpid()}\n")
        if removes:
            shutil.rmtree(removes)
        return queries.images

    return craft
