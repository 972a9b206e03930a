"""Seeds: what random numbers depend on, and on nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def derive_seed(*parts: object) -> int:
    """A 63-bit seed that depends on all parts and on nothing else.

    >>> derive_seed("attack", 0) == derive_seed("attack", 0), derive_seed("attack", 0) == derive_seed("attack", 1)
    (True, False)
    """
    text = "/".join(map(str, parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def seed_all(seed: int) -> None:
    """Seed torch's own generators, on every device.

    As `torch.manual_seed`, which on hosts without an accelerator also writes out the call stack several times.

    Args:
        seed: as torch takes it, -2^63 to 2^64 - 1.
    """
    if torch.accelerator.is_available():
        torch.manual_seed(seed)
    else:
        torch.default_generator.manual_seed(seed)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Run a block with torch's global random state seeded, and restore the state afterwards.

    >>> with seeded(7):
    ...     first = torch.rand(3)
    >>> with seeded(7):
    ...     second = torch.rand(3)
    >>> torch.equal(first, second)
    True
    """
    with torch.random.fork_rng():
        seed_all(seed)
        yield
