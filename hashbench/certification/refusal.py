"""Why a model gets no certificate."""

from __future__ import annotations

from hashbench.errors import UsageError
from hashbench.threat import Threat


class NoCertificate(UsageError):
    """A network for which no bounds are known: a layer without a rule, or random numbers in its forward pass."""


def no_certificate(threat: Threat) -> str:
    """Why no certificate holds for a threat, whatever the network; empty if one can.

    >>> no_certificate(Threat(0.1)), no_certificate(Threat(0.5, "l2"))
    ('', 'certificates are for l-inf budgets; none is known for l2')
    """
    return "" if threat.norm == "linf" else f"certificates are for l-inf budgets; none is known for {threat.norm}"
