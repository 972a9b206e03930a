"""How a training updates weights: optimiser and learning-rate schedule."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from torch import nn, optim
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR

from hashbench.registry.parameters import Count, Later, NonNegative, Positive, Range, Share

OptimiserName = Literal["adam", "adamw", "sgd"]
ScheduleName = Literal["one-cycle", "thirds", "halves"]

# Under Adam a longer gradient is clipped to this norm: a single large step can saturate the tanh of some bits,
# which then no longer get a gradient (on Fashion-MNIST one run in two failed without it).
GRADIENT_NORM = 1.0
DROP = 0.1  # factor of the learning rate at each drop


@dataclass(frozen=True)
class Recipe:
    """How long a training runs, its batches, its optimiser and its learning-rate schedule.

    The defaults suit networks that are trained from scratch for few epochs. The papers fine-tune with SGD: hashing
    models with the rate multiplied by 0.1 after each third of the epochs (`thirds`), adversarial trainings with the
    same drop at 1/2 and 3/4 of all steps (`halves`).

    Args:
        epochs: passes over the training set.
        learning_rate: the highest rate of the schedule.
        batch_size: images per step, 2 or more, since batches of a single image are skipped.
        optimiser: adam, adamw (adam with decoupled weight decay), or sgd as in the papers.
        schedule: one-cycle, thirds (x 0.1 each third of the epochs) or halves (x 0.1 at 1/2 and 3/4).
        momentum: momentum of sgd, or the first beta of adam; one-cycle varies it between 0.85 and 0.95.
        weight_decay: the multiple of the weights that is added to their gradients; under adamw, the weights shrink by
            this share of the learning rate in each step instead (Loshchilov and Hutter, ICLR 2019).
        amp: run networks in bfloat16 wherever a loss is computed, including an attack inside the training; weights,
            outputs and losses stay in single precision.
        ema: decay of an exponential moving average of the weights and of batch norm's statistics, which is the trained
            model at the end; 0 takes the last weights. In step t the decay is at most (1 + t) / (10 + t), so that short
            trainings forget their start.

    >>> Recipe(epochs=30, optimiser="sgd", schedule="halves").longest_gradient
    inf
    """

    epochs: Count = 20
    learning_rate: Positive = 0.02
    batch_size: Annotated[int, Range(2)] = 64
    optimiser: OptimiserName = "adam"
    schedule: ScheduleName = "one-cycle"
    momentum: Share = 0.9
    weight_decay: NonNegative = 0.0
    amp: Annotated[bool, Later()] = False
    ema: Annotated[Share, Later()] = 0.0

    @property
    def longest_gradient(self) -> float:
        """The norm to which longer gradients are clipped; SGD runs as published, without clipping."""
        return math.inf if self.optimiser == "sgd" else GRADIENT_NORM

    def build(self, weights: Sequence[nn.Parameter], steps: int) -> tuple[optim.Optimizer, LRScheduler]:
        """The optimiser of some weights, and its schedule, to be stepped after each of `steps` batches per epoch."""
        rate, decay = self.learning_rate, self.weight_decay
        optimiser: optim.Optimizer
        if self.optimiser == "sgd":
            optimiser = optim.SGD(weights, rate, momentum=self.momentum, weight_decay=decay)
        else:
            rule = optim.AdamW if self.optimiser == "adamw" else optim.Adam
            optimiser = rule(weights, rate, (self.momentum, 0.999), weight_decay=decay)
        if self.schedule == "one-cycle":
            return optimiser, OneCycleLR(optimiser, rate, total_steps=self.epochs * steps)
        drops = drop_steps(self.schedule, self.epochs, steps)
        return optimiser, LambdaLR(optimiser, lambda step: DROP ** sum(step >= drop for drop in drops))


def drop_steps(schedule: Literal["thirds", "halves"], epochs: int, steps: int) -> list[int]:
    """The steps before which the learning rate drops.

    As in the released code, the `thirds` take effect one epoch late: at epochs 34 and 67 of 100, counted from 0. The
    released scripts compare the `halves` with fractions for equality, so that a drop at half a step never happens;
    here it happens at the next step.

    >>> drop_steps("thirds", epochs=99, steps=1), drop_steps("halves", epochs=5, steps=1)
    ([34, 67], [3, 4])
    """
    if schedule == "thirds":
        length = max(1, epochs // 3)
        return [(epoch + 1) * steps for epoch in range(length, epochs, length)]
    total = epochs * steps
    return [-(-total // 2), -(-3 * total // 4)]
