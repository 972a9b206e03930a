"""A hashing model: images in, codes out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, final

import torch
from torch import Tensor, nn

from hashbench.errors import WroteInto
from hashbench.models.precision import network_precision
from hashbench.models.quick_pooling import with_quick_pools
from hashbench.types import BinaryCodes, Codes, Images

SATURATED = 30.0  # tanh(30) is 1 in single and in double precision


@final
class HashModel(nn.Module):
    """A network with `bits` outputs per image, read as a relaxed binary code.

    Pixels enter in [0, 1]; the network normalises them itself, so that a budget in pixels means the same for every
    model. To change a model, wrap its network: `HashModel(Sequential(blur, m.network), m.bits)`.

    >>> model = HashModel(nn.Sequential(nn.Flatten(), nn.Linear(64, 16)), bits=16)
    >>> codes = model(torch.rand(5, 1, 8, 8))
    >>> codes.shape, bool((codes.abs() < 1).all())
    (torch.Size([5, 16]), True)
    """

    __call__: Callable[..., Codes]

    def __init__(self, network: nn.Module, bits: int) -> None:
        super().__init__()
        self.network = with_quick_pools(network)
        self.bits = bits

    def logits(self, images: Images) -> Codes:
        """Outputs before the tanh, of shape [images, bits]."""
        with network_precision(images.device):
            output: Codes = self.network(images)
        return output.to(images.dtype)

    def forward(self, images: Images) -> Codes:
        """Relaxed codes in (-1, 1), of shape [images, bits]."""
        return torch.tanh(self.logits(images))


def binarize(codes: Codes) -> BinaryCodes:
    """The signs of relaxed codes; 0 becomes +1, here and everywhere in the project.

    >>> binarize(torch.tensor([[0.7, -0.2, 0.0]]))
    tensor([[ 1., -1.,  1.]])
    """
    return torch.where(codes >= 0, 1.0, -1.0)


def sealed(model: HashModel) -> HashModel:
    """The model as a black-box attacker sees it: images go in, binary codes come out.

    It has none of the model's weights, and no gradient flows through it; its relaxed codes are the binary ones.
    """
    device = next((weight.device for weight in model.parameters()), torch.device("cpu"))
    return HashModel(_CodesOnly(lambda images: binarize(model(images)), device), model.bits)


class _CodesOnly(nn.Module):
    """Returns logits that a tanh turns into exactly -1 and +1."""

    def __init__(self, answer: Callable[[Images], BinaryCodes], device: torch.device) -> None:
        super().__init__()
        self.answer = answer
        self.place = nn.Parameter(torch.zeros(0, device=device), requires_grad=False)

    def forward(self, images: Images) -> Codes:
        with torch.no_grad():
            return SATURATED * self.answer(images)


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """Run a block with the model in eval mode and without gradients for its weights.

    The mode of every submodule and every weight's `requires_grad` are restored afterwards, whatever the block does.
    Gradients with respect to pixels are enabled inside.

    >>> model = HashModel(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), bits=2)
    >>> with frozen(model):
    ...     model.training, any(weight.requires_grad for weight in model.parameters())
    (False, False)
    >>> model.training, all(weight.requires_grad for weight in model.parameters())
    (True, True)
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


def writes(tensor: Tensor) -> int:
    """How often a tensor, or a view of it, has been written into; 0 for one of inference mode, which isn't counted."""
    return 0 if tensor.is_inference() else tensor._version


@contextmanager
def unwritten(who: str, given: Mapping[str, Any]) -> Iterator[None]:
    """Run a block that may not write into the tensors of some names; what is no tensor is passed over.

    Nothing is copied: torch counts the writes. It does not see those by way of `tensor.data` or a NumPy array.

    Raises:
        WroteInto: the block wrote into one of them.

    >>> codes = torch.ones(2)
    >>> with unwritten("the attack", {"codes": codes}):
    ...     codes[0] = 0
    Traceback (most recent call last):
    hashbench.errors.WroteInto: the attack wrote into codes, which other rows read too; clone it first
    """
    before = {name: (tensor, writes(tensor)) for name, tensor in given.items() if isinstance(tensor, Tensor)}

    def check() -> None:
        for name, (tensor, count) in before.items():
            if writes(tensor) != count:
                raise WroteInto(f"{who} wrote into {name}, which other rows read too; clone it first")

    try:
        yield
    except Exception:
        check()
        raise
    check()
