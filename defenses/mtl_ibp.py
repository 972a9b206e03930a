"""MTL-IBP: an attack and interval bounds in one loss (De Palma et al., ICLR 2024, arXiv 2305.13991)."""

from __future__ import annotations

from hashbench.models.data import ImageSet
from hashbench.models.model import HashModel
from hashbench.registry.decorators import defense
from hashbench.registry.parameters import NonNegative, Share
from hashbench.registry.protocols import Method
from hashbench.threat import Threat
from hashbench.training.adversarial import InnerAttack
from hashbench.training.interval import Worst, check_network, interval_training
from hashbench.training.recipe import Recipe
from hashbench.training.regularisers import UNMIXED

RECIPE = Recipe(epochs=26, learning_rate=0.01)
WORST = Worst()
INNER = InnerAttack(steps=3)


@defense(
    "mtl-ibp",
    threats=("linf",),
    paper="after De Palma et al., ICLR 2024",
    check=check_network,
    grid={"preset": ("default", "regularised"), "alpha": (0.25, 0.5), "weight": (0.2, 1.0)},
    presets={"regularised": UNMIXED},
)
def mtl_ibp(
    model: HashModel,
    train: ImageSet,
    method: Method,
    threat: Threat,
    *,
    recipe: Recipe = RECIPE,
    worst: Worst = WORST,
    inner: InnerAttack = INNER,
    weight: NonNegative = 0.2,
    alpha: Share = 0.5,
) -> HashModel:
    """Train on the hashing loss of clean images, on attacked images and on the worst logits that intervals allow.

    Both further terms have one form, so that alpha leads from adversarial training (0) to interval training (1).
    A step costs four passes and those of the inner attack; the interval term is that of Gowal et al.
    (arXiv 1810.12715), the initialisation of `start=shi` that of Shi et al. (arXiv 2103.17268).

    Where the terms weigh too much, all images get one code, which no attack can change: lower the weight then.

    Args:
        weight: of both further terms together.
        alpha: share of the worst-case term in them.
    """
    return interval_training(
        model,
        train,
        method,
        threat,
        recipe=recipe,
        worst=worst,
        weight=weight,
        alpha=alpha,
        inner=inner,
        name="mtl-ibp",
    )
