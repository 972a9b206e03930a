"""The training of undefended models, which every defense starts from."""

from __future__ import annotations

from hashbench.data import ImageSet
from hashbench.model import HashModel
from hashbench.parameters import Count, Positive
from hashbench.protocols import Method
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
) -> HashModel:
    """Train a model in place on a hashing method's loss of clean images.

    Args:
        learning_rate: the highest rate of the one-cycle schedule.
    """

    def loss(images: Images, labels: Labels, index: Index) -> Scalar:
        return method(model(images), labels, index)

    return fit(
        model, train, loss, epochs=epochs, learning_rate=learning_rate, batch_size=batch_size, name="clean training"
    )
