"""Counting the images that go through a model, forwards and backwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from hashbench.models.model import HashModel
from hashbench.models.transformed import innermost


@dataclass
class Passes:
    """How many images went forwards and how many gradients came back."""

    forwards: int = 0
    backwards: int = 0


@contextmanager
def counted(model: HashModel, passes: Passes) -> Iterator[None]:
    """Add the passes through a model, and through copies of it made inside the block, to `passes`.

    Behind a transformation, passes through the network itself are counted: each version of an image is one.
    """

    def on_backward(gradient: Tensor) -> None:
        passes.backwards += len(gradient)

    def on_forward(module: Any, inputs: Any, output: Tensor) -> None:
        passes.forwards += len(output)
        if output.requires_grad:
            output.register_hook(on_backward)  # type: ignore[no-untyped-call]

    handle = innermost(model).register_forward_hook(on_forward)
    try:
        yield
    finally:
        handle.remove()
