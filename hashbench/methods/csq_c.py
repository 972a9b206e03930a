"""CSQ-C: CSQ with a sorted quantisation term (code released with CgAT, WWW 2023)."""

from __future__ import annotations

from hashbench.methods.csq import csq
from hashbench.methods.sorted_quantisation import SortedQuantisation
from hashbench.registry.decorators import method
from hashbench.registry.parameters import NonNegative, Seed
from hashbench.registry.protocols import Method
from hashbench.types import Codes, Labels


@method("csq-c", paper="Wang et al., WWW 2023, released code; CSQ: Yuan et al., CVPR 2020")
def csq_c(codes: Codes, labels: Labels, *, quantisation: NonNegative = 0.1, center_seed: Seed = 0) -> Method:
    """CSQ, its quantisation term replaced by one that pulls each bit's distribution to that of fair signs.

    Trains from scratch; keeps no memory of the training set.

    Args:
        quantisation: weight of the sorted quantisation term.
        center_seed: as in csq.
    """
    return SortedQuantisation(csq(codes, labels, quantisation=0.0, center_seed=center_seed), quantisation)
