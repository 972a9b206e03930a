"""Interval training (Gowal et al., arXiv 1810.12715; initialisation after Shi et al., NeurIPS 2021)."""

from __future__ import annotations

from hashbench.data import ImageSet
from hashbench.interval_training import Worst, check_network, interval_training
from hashbench.model import HashModel
from hashbench.parameters import NonNegative
from hashbench.protocols import Method
from hashbench.recipe import Recipe
from hashbench.registry import defense
from hashbench.threat import Threat

RECIPE = Recipe(epochs=60, learning_rate=0.01)
WORST = Worst()


@defense(
    "ibp",
    paper="Gowal et al., arXiv 1810.12715",
    check=check_network,
    grid={"learning_rate": (0.005, 0.01), "weight": (0.1, 1.0)},
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
