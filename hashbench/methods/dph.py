"""DPH: deep pairwise hashing as squared regression (the default of the code released with SAAT, TIFS 2023)."""

from __future__ import annotations

from hashbench.methods.memory import CodeMemory, pair_mean
from hashbench.registry.decorators import method
from hashbench.registry.protocols import Method
from hashbench.types import Codes, Index, Labels, Scalar


@method("dph", paper="as in CgAT (Wang et al., WWW 2023) and SAAT (Yuan et al., TIFS 2023)")
def dph(codes: Codes, labels: Labels, *, balance: bool = True) -> Method:
    """Regress each pair's mean bit agreement on +1 if the two share a label and on -1 otherwise.

    The memory starts from the model's own codes; trains from scratch.

    Args:
        balance: give similar and dissimilar pairs the same total weight. The released code gives every pair the same
            weight (no); trained from scratch, codes then collapse on data with few similar pairs.
    """
    return PairwiseRegression(codes, labels, balance)


class PairwiseRegression(Method):
    """Mean of (u_i.u_j / bits - S_ij)^2 over a batch and the memory, S in {-1, +1}."""

    def __init__(self, codes: Codes, labels: Labels, balance: bool) -> None:
        super().__init__()
        self.balance = balance
        self.memory = CodeMemory(codes, labels)

    def forward(self, codes: Codes, labels: Labels, index: Index) -> Scalar:
        """The loss of a batch, whose rows of the memory are refreshed first."""
        similar = self.memory.refresh(codes, labels, index)
        agreement = codes @ self.memory.codes.T / codes.shape[1]
        return pair_mean((agreement - (2 * similar.to(codes.dtype) - 1)) ** 2, similar, self.balance)
