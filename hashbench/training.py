"""The one training loop: hashing models and their defenses."""

from __future__ import annotations

from collections.abc import Callable

import torch

from hashbench.data import ImageSet
from hashbench.errors import TrainingDiverged
from hashbench.model import HashModel
from hashbench.progress import track
from hashbench.types import Images, Index, Labels, Scalar

# A longer gradient is cut to this norm: a single large step can saturate the tanh of some bits, which
# then get no gradient any more (seen on Fashion-MNIST, where one run in two was lost without it).
GRADIENT_NORM = 1.0

BatchLoss = Callable[[Images, Labels, Index], Scalar]


def fit(
    model: HashModel,
    train: ImageSet,
    loss: BatchLoss,
    *,
    epochs: int,
    learning_rate: float,
    batch_size: int,
    name: str = "training",
) -> HashModel:
    """Train a model in place with Adam under a one-cycle learning rate, and return it in eval mode.

    Batches are drawn by the global random state; a last batch of a single image is left out, since
    batch norm can't use it. The loss of a batch is taken with the model in training mode.

    Args:
        loss: (images, labels, positions in the training set) -> loss of the batch.
        learning_rate: the highest rate of the cycle.

    Raises:
        TrainingDiverged: the loss is no longer finite.
    """
    device = next(model.parameters()).device
    steps = sum(len(batch) > 1 for batch in train.batches(batch_size)) * epochs
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=steps)
    for epoch in track(range(epochs), name):
        for index in torch.split(torch.randperm(len(train)), batch_size):
            if len(index) == 1:
                continue
            model.train()
            at = index.to(train.labels.device)
            value = loss(train.images[at].to(device), train.labels[at].to(device), index.to(device))
            if not torch.isfinite(value):
                raise TrainingDiverged(
                    f"the loss became {value.item()} in epoch {epoch + 1} of {epochs}; "
                    f"try a learning_rate below {learning_rate:g}"
                )
            optimizer.zero_grad(set_to_none=True)
            value.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(model.parameters(), GRADIENT_NORM)
            optimizer.step()
            schedule.step()
    return model.eval()
