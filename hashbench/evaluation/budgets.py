"""The budgets at which a probe attacks, around that of the threat."""

from __future__ import annotations

from dataclasses import replace

import torch

from hashbench.models.data import ImageSet
from hashbench.threat import Threat

MULTIPLES = (0.25, 0.5, 1.0, 2.0, 4.0)  # budgets of the curve, as multiples of the threat's eps
UNBOUNDED = 1.0  # any image is within it, for linf


def widest(threat: Threat, images: ImageSet) -> float:
    """The budget within which any image lies, around any other."""
    values = images.images[torch.arange(min(1, len(images)))].numel()
    return UNBOUNDED if threat.norm == "linf" else max(1.0, values**0.5)


def probed_at(threat: Threat, reach: float) -> tuple[Threat, list[float]]:
    """A threat, cut to the budget within which any image lies, and the budgets of its curve except 0.

    >>> probed_at(Threat(10.0, "l2"), 8.0)[1]
    [2.0, 4.0, 8.0]
    """
    threat = replace(threat, eps=min(threat.eps, reach))
    return threat, budgets_of(threat, reach)


def budgets_of(threat: Threat, unbounded: float = UNBOUNDED) -> list[float]:
    """The budgets of the curve except 0: multiples of the threat's eps, then one within which any image lies.

    >>> budgets_of(Threat(0.25)), budgets_of(Threat(0.5, "l2"), 8.0)
    ([0.0625, 0.125, 0.25, 0.5, 1.0], [0.125, 0.25, 0.5, 1.0, 2.0, 8.0])
    """
    return sorted({min(unbounded, threat.eps * multiple) for multiple in MULTIPLES} | {unbounded})


def heads_at(eps: float, threat: Threat) -> list[str]:
    """Which tanh a budget is attacked through: the model's own up to the threat's eps, a gentle one from there on.

    On undefended models the first gives the stronger attack up to the threat's eps, the second beyond it.

    >>> heads_at(0.1, Threat(0.1)), heads_at(0.2, Threat(0.1))
    (['plain', 'gentle'], ['gentle'])
    """
    return ["plain"] * (eps <= threat.eps) + ["gentle"] * (eps >= threat.eps)
