"""SAAT: semantic-aware adversarial training (Yuan, Zhang, Wang and Wu, TIFS 2023)."""

from __future__ import annotations

from typing import Annotated, Literal

from hashbench.models.codes import mainstay_code
from hashbench.models.data import ImageSet
from hashbench.models.model import HashModel, binarize
from hashbench.registry.decorators import defense
from hashbench.registry.parameters import Later, NonNegative
from hashbench.registry.protocols import Method
from hashbench.threat import Threat
from hashbench.training.adversarial import Batches, Guided, InnerAttack
from hashbench.training.guided import STRONG, check_guided, guided_training
from hashbench.training.recipe import Recipe
from hashbench.training.regularisers import REGULARISED, Regularisers
from hashbench.types import Codes, Labels, Scalar

RECIPE = Recipe(learning_rate=0.01)
NONE = Regularisers()
INNER = InnerAttack()


@defense(
    "saat",
    paper="Yuan et al., TIFS 2023",
    check=check_guided,
    grid={"preset": ("default", "regularised"), "learning_rate": (0.01, 0.02), "weight": (1.0, 3.0)},
    presets={"regularised": REGULARISED, "strong": STRONG},
)
def saat(
    model: HashModel,
    train: ImageSet,
    method: Method,
    threat: Threat,
    *,
    recipe: Recipe = RECIPE,
    inner: InnerAttack = INNER,
    regularisers: Regularisers = NONE,
    weight: NonNegative = 1.0,
    quantisation: NonNegative = 1e-4,
    memory: Annotated[Literal["codes", "relaxed"], Later()] = "codes",
    batches: Batches = "joint",
) -> HashModel:
    """Train on hashing loss of clean images plus distance of adversarial codes to their mainstay codes.

    A mainstay code weights the relevant codes by the cosine of their labels with the image's. The released code
    trains for 20 epochs with batches of 32 images and
    `optimiser=sgd,schedule=halves,learning_rate=0.05,momentum=0,weight_decay=1e-5`.

    Args:
        weight: weight of the adversarial codes' agreement with their mainstay codes (lambda).
        quantisation: weight of the adversarial codes' mean squared distance to their signs (mu).
        memory: compute mainstay codes from binary codes, as in the paper, or from relaxed ones, as the released code
            does because its two memories share their storage.
        batches: clean and adversarial images go through batch norm together, or apart, as in the released code.
    """

    def further(attacked: Codes, labels: Labels, guided: Guided) -> Scalar:
        return quantisation * ((attacked - binarize(attacked.detach())) ** 2).mean()

    return guided_training(
        model,
        train,
        method,
        threat,
        mainstay_code,
        recipe=recipe,
        inner=inner,
        weight=weight,
        name="saat",
        regularisers=regularisers,
        relaxed=memory == "relaxed",
        further=further,
        batches=batches,
    )
