"""The one training loop: hashing models and their defenses."""

from __future__ import annotations

from collections.abc import Callable

import torch

from hashbench.data import ImageSet
from hashbench.errors import TrainingDiverged
from hashbench.image_files import stream
from hashbench.model import HashModel
from hashbench.progress import track
from hashbench.protocols import Method
from hashbench.recipe import Recipe
from hashbench.types import Images, Index, Labels, Scalar

STANDARD = Recipe()
BatchLoss = Callable[[Images, Labels, Index], Scalar]


def fit(
    model: HashModel,
    train: ImageSet,
    method: Method,
    loss: BatchLoss,
    *,
    epochs: int,
    learning_rate: float,
    batch_size: int,
    recipe: Recipe = STANDARD,
    name: str = "training",
) -> HashModel:
    """Train a model in place, along with its method's own weights, and return it in eval mode.

    Batches are drawn by the global random state; a last batch of a single image is left out, since
    batch norm can't use it. The loss of a batch is taken with the model in training mode.

    Args:
        method: the hashing method whose weights, if it has any, are trained too.
        loss: (images, labels, positions in the training set) -> loss of the batch.
        learning_rate: the highest rate of the schedule.
        recipe: optimiser and schedule; Adam under a one-cycle learning rate by default.

    Raises:
        TrainingDiverged: the loss is no longer finite.
    """
    device = next(model.parameters()).device
    steps = sum(len(batch) > 1 for batch in train.batches(batch_size))
    weights = [*model.parameters(), *method.parameters()]
    optimizer, schedule = recipe.build(weights, learning_rate, epochs, steps)
    for epoch in track(range(epochs), name):
        batches = [index for index in torch.split(torch.randperm(len(train)), batch_size) if len(index) > 1]
        for index, images in zip(batches, stream(train.images, batches, device), strict=True):
            model.train()
            labels = train.labels[index.to(train.labels.device)].to(device)
            value = loss(images, labels, index.to(device))
            if not torch.isfinite(value):
                raise TrainingDiverged(
                    f"the loss became {value.item()} in epoch {epoch + 1} of {epochs}; "
                    f"try a learning_rate below {learning_rate:g}"
                )
            optimizer.zero_grad(set_to_none=True)
            value.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(weights, recipe.longest_gradient)
            optimizer.step()
            schedule.step()
    return model.eval()
