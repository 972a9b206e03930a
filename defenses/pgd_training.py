"""Adversarial training with the hashing method's own loss (Madry et al., ICLR 2018, for codes)."""

from __future__ import annotations

import copy

import torch

from hashbench.models.data import ImageSet
from hashbench.models.model import HashModel
from hashbench.registry.decorators import defense
from hashbench.registry.parameters import Share
from hashbench.registry.protocols import Method
from hashbench.threat import Threat
from hashbench.training.adversarial import InnerAttack, untouched
from hashbench.training.loop import fit
from hashbench.training.recipe import Recipe
from hashbench.types import Images, Index, Labels, Scalar

RECIPE = Recipe(learning_rate=0.01)
INNER = InnerAttack()


@defense(
    "pgd-training",
    paper="Madry et al., ICLR 2018",
    grid={"learning_rate": (0.01, 0.02), "adversarial": (0.5, 1.0)},
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
) -> HashModel:
    """Train on the hashing loss of adversarial images, which are crafted by ascending that same loss.

    The memory of a method that has one holds the codes of clean images, since databases are made of those.

    Args:
        adversarial: share of the loss that is taken on adversarial images, in [0, 1]; the rest on clean ones.
    """
    student = copy.deepcopy(model)

    def loss(images: Images, labels: Labels, index: Index) -> Scalar:
        with untouched(method):
            crafted = inner.craft(student, images, lambda codes: -method(codes, labels, index), threat)
            relaxed, attacked = student(torch.cat([images, crafted])).chunk(2)
            hard = method(attacked, labels, index)
        return (1 - adversarial) * method(relaxed, labels, index) + adversarial * hard

    return fit(student, train, method, loss, recipe, name="pgd-training")
