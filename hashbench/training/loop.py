"""The training loop of hashing models and of defenses."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import torch
from torch import nn
from torch.optim import Optimizer

from hashbench.errors import BadInput, TrainingDiverged
from hashbench.models.data import ImageSet
from hashbench.models.image_files import stream
from hashbench.models.model import HashModel
from hashbench.models.precision import mixed_precision
from hashbench.registry.protocols import Method
from hashbench.training.moving_average import MovingAverage
from hashbench.training.recipe import Recipe
from hashbench.training.resume import Stateful, epochs_left
from hashbench.types import Images, Index, Labels, Scalar

TRAINING_VERSION = 1  # raised whenever the same training gives different weights

BatchLoss = Callable[[Images, Labels, Index], Scalar]


def fit(
    model: HashModel,
    train: ImageSet,
    method: Method,
    loss: BatchLoss,
    recipe: Recipe,
    *,
    name: str = "training",
    state: Mapping[str, Stateful] | None = None,
) -> HashModel:
    """Train a model in place, along with its method's own weights, and return it in eval mode.

    Batches are drawn from the global random state; a last batch of a single image is skipped, since batch norm can't
    use it. Losses are computed in training mode. hashbench saves a training after each epoch: killed and started
    again, it resumes there and ends with the same weights.

    Args:
        method: the hashing method whose weights, if it has any, are trained too.
        loss: (images, labels, positions in the training set) -> loss of the batch.
        name: the name that a progress bar shows.
        state: what the loss carries from batch to batch besides the model and the method, such as a module with a
            memory of codes, under names of your choice; without it a resumed training would differ.

    Raises:
        BadInput: no batch has two images or more.
        TrainingDiverged: the loss is no longer finite.

    >>> Still = type("Still", (Method,), {"forward": lambda self, codes, labels, index: codes.mean()})
    >>> train = ImageSet(torch.rand(8, 1, 2, 2), torch.eye(2).repeat(4, 1))
    >>> model = HashModel(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2)), bits=2)
    >>> fit(model, train, Still(), lambda images, labels, index: model(images).mean(), Recipe(epochs=1)).training
    False
    """
    device = next(model.parameters()).device
    weights = [*model.parameters(), *method.parameters()]
    optimiser, schedule = recipe.build(weights, steps_per_epoch(train, recipe))
    parts: dict[str, Stateful] = {"model": model, "method": method, "optimiser": optimiser, "schedule": schedule}
    average = MovingAverage(model, recipe.ema) if recipe.ema else None
    parts |= {"average": average} if average else {}
    parts |= {f"state {label}": part for label, part in (state or {}).items()}
    for epoch in epochs_left(parts, recipe.epochs, name):
        for images, labels, index in _shuffled(train, recipe.batch_size, device):
            model.train()
            with mixed_precision(recipe.amp):
                value = loss(images, labels, index)
            _step(value, weights, optimiser, recipe, epoch)
            schedule.step()
            if average:
                average.update(model)
    return (average.copied_to(model) if average else model).eval()


def steps_per_epoch(train: ImageSet, recipe: Recipe) -> int:
    """How many batches of an epoch `fit` trains on, 1 or more.

    Raises:
        BadInput: no batch has two images or more.

    >>> train = ImageSet(torch.rand(33, 1, 2, 2), torch.ones(33, 1))
    >>> steps_per_epoch(train, Recipe(batch_size=16))
    2
    """
    steps = sum(len(batch) > 1 for batch in train.batches(recipe.batch_size))
    if not steps:
        raise BadInput(
            f"nothing to train on: {len(train)} images make no batch of 2 or more with batch_size={recipe.batch_size}, "
            "and batches of a single image are skipped; give 2 or more of both"
        )
    return steps


def _shuffled(train: ImageSet, size: int, device: torch.device) -> Iterator[tuple[Images, Labels, Index]]:
    """The batches of an epoch, in a random order of the images, with their labels and positions."""
    batches = [index for index in torch.split(torch.randperm(len(train)), size) if len(index) > 1]
    for index, images in zip(batches, stream(train.images, batches, device), strict=True):
        yield images, train.labels[index.to(train.labels.device)].to(device), index.to(device)


def _step(value: Scalar, weights: list[nn.Parameter], optimiser: Optimizer, recipe: Recipe, epoch: int) -> None:
    """Move the weights once against the gradient of a batch's loss.

    Raises:
        TrainingDiverged: the loss is no longer finite.
    """
    if not torch.isfinite(value):
        raise TrainingDiverged(
            f"the loss became {value.item()} in epoch {epoch + 1} of {recipe.epochs}; "
            f"try a learning_rate below {recipe.learning_rate:g}"
        )
    optimiser.zero_grad(set_to_none=True)
    value.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(weights, recipe.longest_gradient)
    optimiser.step()
