"""Models that see their images through a transformation, and its gradient (Athalye et al., ICML 2018)."""

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

    The transformation returns one version of each image or several, ordered by version:
    [versions * images, channels, height, width]. Logits are averaged over the versions, so that the gradient is
    that of the mean: expectation over transformation.

    >>> inverted = Transformed(lambda images: 1 - images, nn.Flatten())
    >>> HashModel(inverted, bits=4).logits(torch.ones(1, 1, 2, 2))
    tensor([[0., 0., 0., 0.]])
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
    """The transformation with its gradient taken to be one: backward pass differentiable approximation.

    For transformations that barely change an image and have no gradient, or no useful one.

    >>> rounded = straight_through(torch.round)
    >>> images = torch.full((1, 1, 1, 1), 0.8, requires_grad=True)
    >>> rounded(images).sum().backward()
    >>> rounded(images).item(), images.grad.item()
    (1.0, 1.0)
    """

    def apply(images: Images) -> Images:
        seen: Images = _StraightThrough.apply(images, transform)
        return seen

    return apply


def bare(model: HashModel) -> HashModel:
    """The model without its transformation: the same network, not a copy.

    Raises:
        BadOutput: the model has no transformation.
    """
    if not isinstance(model.network, Transformed):
        raise BadOutput(
            "the model's network is not a Transformed; wrap it in one, or register the defense without transforms"
        )
    return HashModel(model.network.network, model.bits)


def innermost(model: HashModel) -> nn.Module:
    """The network itself: the one behind the transformation, if there is one."""
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
