"""Why a model gets no certificate."""

from __future__ import annotations

from hashbench.errors import UsageError


class NoCertificate(UsageError):
    """A network for which no bounds are known: a layer without a rule, or random numbers in its forward pass."""
