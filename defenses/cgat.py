"""CgAT: center-guided adversarial training (Wang, Lin and Li, WWW 2023)."""

from __future__ import annotations

import functools
from typing import Literal

from hashbench.models.codes import center_code
from hashbench.models.data import ImageSet
from hashbench.models.model import HashModel
from hashbench.registry.decorators import defense
from hashbench.registry.parameters import NonNegative
from hashbench.registry.protocols import Method
from hashbench.threat import Threat
from hashbench.training.adversarial import Batches, InnerAttack
from hashbench.training.guided import STRONG, check_guided, guided_training
from hashbench.training.recipe import Recipe
from hashbench.training.regularisers import REGULARISED, Regularisers

RECIPE = Recipe(learning_rate=0.01)
NONE = Regularisers()
INNER = InnerAttack()


@defense(
    "cgat",
    paper="Wang et al., WWW 2023",
    check=check_guided,
    grid={"preset": ("default", "regularised"), "learning_rate": (0.01, 0.02), "weight": (1.0, 3.0)},
    presets={"regularised": REGULARISED, "strong": STRONG},
)
def cgat(
    model: HashModel,
    train: ImageSet,
    method: Method,
    threat: Threat,
    *,
    recipe: Recipe = RECIPE,
    inner: InnerAttack = INNER,
    regularisers: Regularisers = NONE,
    weight: NonNegative = 1.0,
    weights: Literal["binary", "jaccard"] = "binary",
    memory: Literal["codes", "relaxed"] = "codes",
    batches: Batches = "joint",
) -> HashModel:
    """Train on hashing loss of clean images plus distance of adversarial codes to their center codes.

    The released code trains for 30 epochs with batches of 32 images and
    `optimiser=sgd,schedule=halves,learning_rate=0.01,weight_decay=5e-4`.

    Args:
        weight: weight of the adversarial term (lambda; 1 in the released code).
        weights: weights of the relevant codes in a center code: the Jaccard similarity of their labels, as in the
            paper, or 1 each (binary), as in the released code, which computes the similarity but keeps only its sign.
        memory: compute centers from binary codes, as in the paper, or from relaxed ones, as the released code does
            because its two memories share their storage.
        batches: clean and adversarial images go through batch norm together, or apart, as in the released code.
    """
    return guided_training(
        model,
        train,
        method,
        threat,
        functools.partial(center_code, weighted=weights == "jaccard"),
        recipe=recipe,
        inner=inner,
        weight=weight,
        name="cgat",
        regularisers=regularisers,
        relaxed=memory == "relaxed",
        batches=batches,
    )
