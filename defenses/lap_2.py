"""LAP-2: LAP with a margin beyond the budget, mixed batches and decoupled weight decay (ours)."""

from __future__ import annotations

from hashbench.defenses.lap import precision_loss
from hashbench.models.codes import center_code
from hashbench.models.data import ImageSet
from hashbench.models.model import HashModel
from hashbench.registry.decorators import defense
from hashbench.registry.parameters import Count, NonNegative, Positive
from hashbench.registry.protocols import Method
from hashbench.threat import Threat
from hashbench.training.adversarial import InnerAttack
from hashbench.training.guided import check_guided, guided_training
from hashbench.training.recipe import Recipe
from hashbench.training.regularisers import Regularisers

RECIPE = Recipe(epochs=36, learning_rate=0.02, optimiser="adamw", weight_decay=0.1)
INNER = InnerAttack(steps=3, step_ratio=0.5, reach=1.5)
REGULARISERS = Regularisers(cutmix=0.25)


@defense(
    "lap-2",
    paper="ours",
    check=check_guided,
    grid={"learning_rate": (0.02, 0.04), "weight": (1.0, 3.0), "cutmix": (0.25, 0.5)},
)
def lap_2(
    model: HashModel,
    train: ImageSet,
    method: Method,
    threat: Threat,
    *,
    recipe: Recipe = RECIPE,
    inner: InnerAttack = INNER,
    regularisers: Regularisers = REGULARISERS,
    weight: NonNegative = 3.0,
    ranking: NonNegative = 2.0,
    sample: Count = 400,
    half_width: Positive = 2.0,
) -> HashModel:
    """Train as LAP does, against a half larger budget, on partly mixed batches, with decoupled weight decay.

    What each of these adds is in docs/lap-2.md. It takes as many passes as CgAT.

    Args:
        weight: weight of the adversarial terms (lambda).
        ranking: weight of 1 - soft average precision, relative to `weight`; 0 where each image has one label: the
            items relevant for it then share one center code, so that the guide code says all about the ranking.
        sample: how many training codes each adversarial code ranks, drawn anew for each batch.
        half_width: half the width of the triangular bins over Hamming distances, in bits.
    """
    precise = bool((train.labels.sum(dim=1) > 1).any())
    return guided_training(
        model,
        train,
        method,
        threat,
        center_code,
        recipe=recipe,
        inner=inner,
        weight=weight,
        name="lap-2",
        regularisers=regularisers,
        further=precision_loss(weight * ranking, sample, half_width) if precise and ranking else None,
    )
