"""Adversarial training with the hashing method's own loss (Madry et al., ICLR 2018, for codes)."""

from __future__ import annotations

import copy
from typing import Annotated

import torch

from hashbench.models.data import ImageSet
from hashbench.models.model import HashModel
from hashbench.registry.decorators import defense
from hashbench.registry.parameters import Later, Share
from hashbench.registry.protocols import Method
from hashbench.threat import Threat
from hashbench.training.adversarial import InnerAttack, untouched
from hashbench.training.loop import fit
from hashbench.training.mixing import Batch
from hashbench.training.recipe import Recipe
from hashbench.training.regularisers import REGULARISED
from hashbench.types import Codes, Images, Index, Labels, Scalar

RECIPE = Recipe(learning_rate=0.01)
INNER = InnerAttack()


@defense(
    "pgd-training",
    paper="Madry et al., ICLR 2018",
    grid={"preset": ("default", "regularised"), "learning_rate": (0.01, 0.02), "adversarial": (0.5, 1.0)},
    presets={"regularised": REGULARISED},
)
def pgd_training(
    model: HashModel,
    train: ImageSet,
    method: Method,
    threat: Threat,
    *,
    recipe: Recipe = RECIPE,
    inner: InnerAttack = INNER,
    adversarial: Share = 0.5,
    cutmix: Annotated[Share, Later()] = 0.0,
) -> HashModel:
    """Train on the hashing loss of adversarial images, which are crafted by ascending that same loss.

    The memory of a method that has one holds the codes of clean images, since databases are made of those.

    Args:
        adversarial: share of the loss that is taken on adversarial images, in [0, 1]; the rest on clean ones.
        cutmix: probability that a batch is mixed; both images' losses then count by their area.
    """
    student = copy.deepcopy(model)

    def attacked_loss(batch: Batch, codes: Codes) -> Scalar:
        with untouched(method):
            return batch.hashing(method, codes)

    def loss(images: Images, labels: Labels, index: Index) -> Scalar:
        batch = Batch.drawn(images, labels, index, cutmix)
        crafted = inner.craft(student, batch.images, lambda codes: -attacked_loss(batch, codes), threat)
        relaxed, attacked = student(torch.cat([batch.images, crafted])).chunk(2)
        hard = attacked_loss(batch, attacked)
        return (1 - adversarial) * batch.hashing(method, relaxed) + adversarial * hard

    return fit(student, train, method, loss, recipe, name="pgd-training")
