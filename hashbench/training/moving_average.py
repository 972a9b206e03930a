"""The average of a model's weights over the steps of its training."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn

Trained = TypeVar("Trained", bound=nn.Module)


class MovingAverage(nn.Module):
    """An exponential moving average of a model's weights and statistics.

    Args:
        model: the model, whose weights are the average at the start.
        decay: the share of the average that stays in each step; in step t at most (1 + t) / (10 + t).
    """

    steps: Tensor

    def __init__(self, model: nn.Module, decay: float) -> None:
        super().__init__()
        self.decay = decay
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.names = [name for name, value in model.state_dict().items() if value.is_floating_point()]
        self.values = nn.ParameterList([model.state_dict()[name].clone() for name in self.names]).requires_grad_(False)

    def update(self, model: nn.Module) -> None:
        """Take in the model's weights after a step."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps.item()) / (10 + self.steps.item()))
        state = model.state_dict()
        for value, name in zip(self.values, self.names, strict=True):
            value.lerp_(state[name], 1 - decay)

    def copied_to(self, model: Trained) -> Trained:
        """The model with the averaged weights, which replace its own."""
        state = model.state_dict()
        for value, name in zip(self.values, self.names, strict=True):
            state[name].copy_(value)
        return model
