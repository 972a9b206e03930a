"""LAP: S3 with a stronger inner attack and average precision itself in the loss (ours)."""

from __future__ import annotations

from hashbench.crafting.soft_average_precision import soft_average_precision
from hashbench.models.codes import center_code, draw_rows
from hashbench.models.data import ImageSet
from hashbench.models.model import HashModel
from hashbench.registry.decorators import defense
from hashbench.registry.parameters import Count, NonNegative, Positive
from hashbench.registry.protocols import Method
from hashbench.threat import Threat
from hashbench.training.adversarial import Guided, InnerAttack
from hashbench.training.guided import FurtherLoss, check_guided, guided_training
from hashbench.training.recipe import Recipe
from hashbench.training.regularisers import REGULARISED, Regularisers
from hashbench.types import Codes, Labels, Scalar

RECIPE = Recipe(epochs=36, learning_rate=0.02)
NONE = Regularisers()
INNER = InnerAttack(steps=3, step_ratio=0.5, reach=1.25)


@defense(
    "lap",
    paper="ours",
    check=check_guided,
    grid={"preset": ("default", "regularised"), "learning_rate": (0.01, 0.02), "weight": (1.0, 3.0)},
    presets={"regularised": REGULARISED},
)
def lap(
    model: HashModel,
    train: ImageSet,
    method: Method,
    threat: Threat,
    *,
    recipe: Recipe = RECIPE,
    inner: InnerAttack = INNER,
    regularisers: Regularisers = NONE,
    weight: NonNegative = 3.0,
    ranking: NonNegative = 2.0,
    sample: Count = 400,
    half_width: Positive = 2.0,
) -> HashModel:
    """Train as S3 does, and also on the soft average precision of adversarial codes; for multi-label data.

    Args:
        weight: weight of the adversarial terms (lambda).
        ranking: weight of 1 - soft average precision, relative to `weight`.
        sample: how many training codes each adversarial code ranks, drawn anew for each batch.
        half_width: half the width of the triangular bins over Hamming distances, in bits.
    """
    return guided_training(
        model,
        train,
        method,
        threat,
        center_code,
        recipe=recipe,
        inner=inner,
        weight=weight,
        name="lap",
        regularisers=regularisers,
        further=precision_loss(weight * ranking, sample, half_width),
    )


def precision_loss(weight: float, sample: int, half_width: float) -> FurtherLoss:
    """A term of a guided training's loss: 1 - soft average precision of attacked codes, times a weight.

    Args:
        sample: how many codes of the memory each attacked code ranks, drawn anew for each batch.
        half_width: half the width of the triangular bins over Hamming distances, in bits.
    """

    def further(attacked: Codes, labels: Labels, guided: Guided) -> Scalar:
        rows = draw_rows(len(guided.memory), sample, attacked.device)
        relevant = (labels @ guided.labels[rows].T > 0).to(attacked.dtype)
        precision = soft_average_precision(attacked, guided.memory[rows], relevant, half_width)
        return weight * (1 - precision).mean()

    return further
