"""The training of undefended models, from which every defense starts."""

from __future__ import annotations

from hashbench.models.data import ImageSet
from hashbench.models.model import HashModel
from hashbench.registry.protocols import Method
from hashbench.training.loop import fit
from hashbench.training.recipe import Recipe
from hashbench.types import Images, Index, Labels, Scalar

STANDARD = Recipe()


def clean_training(model: HashModel, train: ImageSet, method: Method, *, recipe: Recipe = STANDARD) -> HashModel:
    """Train a model in place on a hashing method's loss of clean images, and return it in eval mode.

    Raises:
        TrainingDiverged: the loss is no longer finite.
    """

    def loss(images: Images, labels: Labels, index: Index) -> Scalar:
        return method(model(images), labels, index)

    return fit(model, train, method, loss, recipe, name="clean training")
