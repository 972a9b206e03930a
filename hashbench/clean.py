"""The training of undefended models, which every defense starts from."""

from __future__ import annotations

from hashbench.data import ImageSet
from hashbench.model import HashModel
from hashbench.parameters import Count, NonNegative, Positive, Share
from hashbench.protocols import Method
from hashbench.recipe import OptimiserName, Recipe, ScheduleName
from hashbench.training import fit
from hashbench.types import Images, Index, Labels, Scalar


def clean_training(
    model: HashModel,
    train: ImageSet,
    method: Method,
    *,
    epochs: Count = 20,
    learning_rate: Positive = 0.02,
    batch_size: Count = 64,
    optimiser: OptimiserName = "adam",
    schedule: ScheduleName = "one-cycle",
    momentum: Share = 0.9,
    weight_decay: NonNegative = 0.0,
) -> HashModel:
    """Train a model in place on a hashing method's loss of clean images.

    Args:
        learning_rate: the highest rate of the schedule.
        optimiser: adam, or sgd as in the papers.
        schedule: one-cycle, thirds (x 0.1 each third of the epochs) or halves (x 0.1 at 1/2 and 3/4).
        momentum: of sgd, or the first beta of adam; one-cycle moves it itself.
        weight_decay: factor of the weights that is added to their gradients.
    """

    def loss(images: Images, labels: Labels, index: Index) -> Scalar:
        return method(model(images), labels, index)

    recipe = Recipe(optimiser, schedule, momentum, weight_decay)
    return fit(
        model,
        train,
        method,
        loss,
        epochs=epochs,
        learning_rate=learning_rate,
        batch_size=batch_size,
        recipe=recipe,
        name="clean training",
    )
