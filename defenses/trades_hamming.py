"""TRADES for codes: clean hashing loss plus a bound on how far codes move (after Zhang et al., ICML 2019)."""

from __future__ import annotations

import copy
from typing import Annotated

import torch

from hashbench.models.codes import encode_batch
from hashbench.models.data import ImageSet
from hashbench.models.model import HashModel
from hashbench.registry.decorators import defense
from hashbench.registry.parameters import Later, NonNegative, Share
from hashbench.registry.protocols import Method
from hashbench.threat import Threat
from hashbench.training.adversarial import InnerAttack
from hashbench.training.loop import fit
from hashbench.training.mixing import Batch
from hashbench.training.recipe import Recipe
from hashbench.training.regularisers import REGULARISED
from hashbench.types import Codes, Images, Index, Labels, Scalar, Scores

RECIPE = Recipe(learning_rate=0.01)
INNER = InnerAttack()


@defense(
    "trades-hamming",
    paper="after Zhang et al., ICML 2019",
    grid={"preset": ("default", "regularised"), "learning_rate": (0.01, 0.02), "weight": (2.0, 6.0)},
    presets={"regularised": REGULARISED},
)
def trades_hamming(
    model: HashModel,
    train: ImageSet,
    method: Method,
    threat: Threat,
    *,
    recipe: Recipe = RECIPE,
    inner: InnerAttack = INNER,
    weight: NonNegative = 4.0,
    cutmix: Annotated[Share, Later()] = 0.0,
) -> HashModel:
    """Train on the hashing loss of clean images plus the distance between clean and adversarial codes.

    The inner attack makes that distance as large as it can; it needs no labels. The distance of relaxed
    codes is their squared difference / 4, which on binary codes is the share of bits that differ.

    Args:
        weight: weight of that distance (beta).
        cutmix: probability that a batch is mixed; both images' hashing losses then count by their area.
    """
    student = copy.deepcopy(model)

    def loss(images: Images, labels: Labels, index: Index) -> Scalar:
        batch = Batch.drawn(images, labels, index, cutmix)
        still = encode_batch(student, batch.images)
        adversarial = inner.craft(student, batch.images, lambda codes: -distance(codes, still), threat)
        relaxed, attacked = student(torch.cat([batch.images, adversarial])).chunk(2)
        return batch.hashing(method, relaxed) + weight * distance(attacked, relaxed).mean()

    return fit(student, train, method, loss, recipe, name="trades-hamming")


def distance(codes: Codes, others: Codes) -> Scores:
    """Mean squared difference of relaxed codes / 4: the share of bits that differ, if they are binary."""
    return ((codes - others) ** 2).mean(1) / 4
