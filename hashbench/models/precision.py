"""Mixed precision: networks run in bfloat16 while a training requests it, and at no other time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar

import torch

_mixed: ContextVar[bool] = ContextVar("mixed", default=False)


@contextmanager
def mixed_precision(on: bool = True) -> Iterator[None]:
    """Run a block in which hashing networks compute in bfloat16; their outputs and all losses stay in float32."""
    before = _mixed.set(on)
    try:
        yield
    finally:
        _mixed.reset(before)


def network_precision(device: torch.device) -> AbstractContextManager[object]:
    """The context for a network's forward pass: it does nothing unless mixed precision is on."""
    return torch.autocast(device.type, torch.bfloat16) if _mixed.get() else nullcontext()
