"""How a training moves weights: optimiser and learning-rate schedule."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from torch import nn, optim
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR

from hashbench.registry.parameters import Count, Later, NonNegative, Positive, Share

OptimiserName = Literal["adam", "sgd"]
ScheduleName = Literal["one-cycle", "thirds", "halves"]

# Under Adam a longer gradient is cut to this norm: a single large step can saturate the tanh of some bits,
# which then get no gradient any more (seen on Fashion-MNIST, where one run in two was lost without it).
GRADIENT_NORM = 1.0
DROP = 0.1  # factor of the learning rate at each drop


@dataclass(frozen=True)
class Recipe:
    """How long a training runs, its batches, its optimiser and its learning-rate schedule.

    The defaults suit networks that are trained from scratch in few epochs. The papers fine-tune with
    SGD: hashing models with drops by 0.1 each third of the epochs (`thirds`), adversarial trainings with
    drops at 1/2 and 3/4 of all steps (`halves`).

    Args:
        learning_rate: the highest rate of the schedule.
        optimiser: adam, or sgd as in the papers.
        schedule: one-cycle, thirds (x 0.1 each third of the epochs) or halves (x 0.1 at 1/2 and 3/4).
        momentum: of sgd, or the first beta of adam; one-cycle moves it between 0.85 and 0.95 itself.
        weight_decay: factor of the weights that is added to their gradients.
        amp: run networks in bfloat16 where a loss is made, that of an attack inside the training included;
            weights, outputs and losses stay in single precision.
    """

    epochs: Count = 20
    learning_rate: Positive = 0.02
    batch_size: Count = 64
    optimiser: OptimiserName = "adam"
    schedule: ScheduleName = "one-cycle"
    momentum: Share = 0.9
    weight_decay: NonNegative = 0.0
    amp: Annotated[bool, Later()] = False

    @property
    def longest_gradient(self) -> float:
        """The norm to which a longer gradient is cut; SGD runs as published, without a cut."""
        return GRADIENT_NORM if self.optimiser == "adam" else math.inf

    def build(self, weights: Sequence[nn.Parameter], steps: int) -> tuple[optim.Optimizer, LRScheduler]:
        """The optimiser of some weights and the schedule to step after each of `steps` batches an epoch."""
        rate, decay = self.learning_rate, self.weight_decay
        optimiser: optim.Optimizer
        if self.optimiser == "sgd":
            optimiser = optim.SGD(weights, rate, momentum=self.momentum, weight_decay=decay)
        else:
            optimiser = optim.Adam(weights, rate, (self.momentum, 0.999), weight_decay=decay)
        if self.schedule == "one-cycle":
            return optimiser, OneCycleLR(optimiser, rate, total_steps=self.epochs * steps)
        drops = drop_steps(self.schedule, self.epochs, steps)
        return optimiser, LambdaLR(optimiser, lambda step: DROP ** sum(step >= drop for drop in drops))


def drop_steps(schedule: Literal["thirds", "halves"], epochs: int, steps: int) -> list[int]:
    """The steps before which the learning rate falls.

    As in the released code, the `thirds` act one epoch late: from epochs 34 and 67 of 100, counted from 0.
    The released scripts place the `halves` at fractions that are compared for equality, so that a
    half-integer one never comes; here it comes at the next step.
    """
    if schedule == "thirds":
        length = max(1, epochs // 3)
        return [(epoch + 1) * steps for epoch in range(length, epochs, length)]
    total = epochs * steps
    return [-(-total // 2), -(-3 * total // 4)]
