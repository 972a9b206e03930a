"""Interval training (Gowal et al., arXiv 1810.12715; initialisation after Shi et al., NeurIPS 2021)."""

from __future__ import annotations

from hashbench.models.data import ImageSet
from hashbench.models.model import HashModel
from hashbench.registry.decorators import defense
from hashbench.registry.parameters import NonNegative
from hashbench.registry.protocols import Method
from hashbench.threat import Threat
from hashbench.training.interval import Worst, check_network, interval_training
from hashbench.training.recipe import Recipe
from hashbench.training.regularisers import DECAY

RECIPE = Recipe(epochs=60, learning_rate=0.01)
WORST = Worst()


@defense(
    "ibp",
    threats=("linf",),
    paper="Gowal et al., arXiv 1810.12715",
    check=check_network,
    grid={"preset": ("default", "regularised"), "learning_rate": (0.005, 0.01), "weight": (0.1, 1.0)},
    presets={"regularised": DECAY},
)
def ibp(
    model: HashModel,
    train: ImageSet,
    method: Method,
    threat: Threat,
    *,
    recipe: Recipe = RECIPE,
    worst: Worst = WORST,
    weight: NonNegative = 0.1,
) -> HashModel:
    """Train on the hashing loss of clean images plus the worst logits that interval arithmetic allows.

    The bounds hold for every image of the threat, so that what is trained is what a certificate needs. A step costs
    three passes where one of CgAT costs nine: the same compute lasts for three times the epochs. With
    `start=shi` it begins with the initialisation of Shi et al. (arXiv 2103.17268).

    Where the term weighs too much, all images get one code, which no attack can change: lower the weight then.

    Args:
        weight: of the worst-case term.
    """
    return interval_training(
        model, train, method, threat, recipe=recipe, worst=worst, weight=weight, alpha=1.0, inner=None, name="ibp"
    )
