"""DSDH-C: DSDH with a sorted quantisation term (code released with CgAT, WWW 2023)."""

from __future__ import annotations

from hashbench.methods.dsdh import DiscreteSupervised
from hashbench.methods.sorted_quantisation import SortedQuantisation
from hashbench.registry.decorators import method
from hashbench.registry.parameters import Count, NonNegative, Positive
from hashbench.registry.protocols import Method
from hashbench.types import Codes, Labels


@method("dsdh-c", paper="Wang et al., WWW 2023, released code; DSDH: Li et al., NeurIPS 2017", version=2)
def dsdh_c(
    codes: Codes,
    labels: Labels,
    *,
    balance: bool = True,
    regression: NonNegative = 1.0,
    ridge: Positive = 1.0,
    attachment: NonNegative = 55.0,
    sweeps: Count = 10,
    pull: NonNegative = 0.0,
    quantisation: NonNegative = 0.1,
) -> Method:
    """DSDH plus a term that pulls the distribution of each bit over a batch to that of fair signs.

    The memory starts from the model's own codes; trains from scratch.

    Args:
        balance: as in dsdh.
        regression: as in dsdh.
        ridge: as in dsdh.
        attachment: as in dsdh.
        sweeps: as in dsdh.
        pull: as in dsdh.
        quantisation: weight of the sorted quantisation term.
    """
    dsdh = DiscreteSupervised(codes, labels, balance, regression, ridge, attachment, sweeps, pull)
    return SortedQuantisation(dsdh, quantisation)
