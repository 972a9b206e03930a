"""Models that see their images through a transformation, and what gradients see of it (Athalye et al., ICML 2018)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from hashbench.errors import BadOutput
from hashbench.models.model import HashModel
from hashbench.types import Codes, Images

Transform = Callable[[Images], Images]


class Transformed(nn.Module):
    """A network behind a transformation of its images.

    The transformation gives one version of each image or several, all images of the first version
    first: [versions * images, channels, height, width]. Logits are averaged over the versions, so that
    a gradient is that of the mean: expectation over transformation.
    """

    def __init__(self, transform: Transform, network: nn.Module) -> None:
        super().__init__()
        self.transform = transform
        self.network = network

    def forward(self, images: Images) -> Codes:
        """Logits [images, bits]."""
        logits: Codes = self.network(self.transform(images))
        return logits.reshape(-1, len(images), logits.shape[1]).mean(0)


def straight_through(transform: Transform) -> Transform:
    """The transformation, whose gradient is taken to be one: backward pass differentiable approximation.

    For transformations that keep an image about as it is and have no gradient, or none that is of use.
    """

    def apply(images: Images) -> Images:
        seen: Images = _StraightThrough.apply(images, transform)
        return seen

    return apply


def bare(model: HashModel) -> HashModel:
    """The model without its transformation: the same network, not a copy.

    Raises:
        BadOutput: it has none.
    """
    if not isinstance(model.network, Transformed):
        raise BadOutput("the model's network is no Transformed; wrap it, or register the defense without transforms")
    return HashModel(model.network.network, model.bits)


def innermost(model: HashModel) -> nn.Module:
    """The network that does the work: behind the transformation, where there is one."""
    return model.network.network if isinstance(model.network, Transformed) else model.network


def is_straight_through(outputs: Tensor) -> bool:
    """Whether a gradient of these outputs goes through `straight_through` on its way."""
    waiting, known = [outputs.grad_fn], set[Any]()
    while waiting:
        node = waiting.pop()
        if node is None or node in known:
            continue
        if node.name() == f"{_StraightThrough.__name__}Backward":
            return True
        known.add(node)
        waiting += [before for before, _ in node.next_functions]
    return False


class _StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, images: Images, transform: Transform) -> Images:
        return transform(images)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0], None
