"""A hashing model: images in, codes out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import final

import torch
from torch import nn

from hashbench.types import BinaryCodes, Codes, Images


@final
class HashModel(nn.Module):
    """A network with `bits` outputs an image, read as a relaxed binary code.

    Pixels enter in [0, 1]; the network normalises them itself, so that a budget in pixels means the
    same for every model. To change a model, wrap its network: `HashModel(Sequential(blur, m.network), m.bits)`.
    """

    __call__: Callable[..., Codes]

    def __init__(self, network: nn.Module, bits: int) -> None:
        super().__init__()
        self.network = network
        self.bits = bits

    def logits(self, images: Images) -> Codes:
        """Outputs before the tanh, of shape [images, bits]."""
        output: Codes = self.network(images)
        return output

    def forward(self, images: Images) -> Codes:
        """Relaxed codes in (-1, 1), of shape [images, bits]."""
        return torch.tanh(self.logits(images))


def binarize(codes: Codes) -> BinaryCodes:
    """The signs of relaxed codes; 0 becomes +1, here and everywhere in the project."""
    return torch.where(codes >= 0, 1.0, -1.0)


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """Run a block with the model in eval mode and its weights asking for no gradients.

    The mode of every submodule and every weight's `requires_grad` are as before afterwards, whatever
    the block does; gradients with respect to pixels are on inside.
    """
    modes = [(module, module.training) for module in model.modules()]
    wanted = [(weight, weight.requires_grad) for weight in model.parameters()]
    model.eval()
    model.requires_grad_(False)
    try:
        with torch.enable_grad():
            yield
    finally:
        for module, mode in modes:
            module.training = mode
        for weight, flag in wanted:
            weight.requires_grad_(flag)
