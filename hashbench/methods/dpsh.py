"""DPSH: deep pairwise-supervised hashing (Li, Wang and Kang, IJCAI 2016)."""

from __future__ import annotations

from hashbench.methods.memory import CodeMemory, pair_losses, pair_mean, quantisation_error
from hashbench.registry.decorators import method
from hashbench.registry.parameters import NonNegative
from hashbench.registry.protocols import Method
from hashbench.types import Codes, Index, Labels, Scalar


@method("dpsh", paper="Li, Wang and Kang, IJCAI 2016")
def dpsh(codes: Codes, labels: Labels, *, balance: bool = True, quantisation: NonNegative = 1e-3) -> Method:
    """Pairwise likelihood of shared labels given half the inner product of two codes.

    The memory starts from the model's own codes; trains from scratch.

    Args:
        balance: give similar and dissimilar pairs the same total weight. The released code gives every pair the same
            weight (no); trained from scratch, codes then collapse on data with few similar pairs.
        quantisation: weight of mean((code - sign)^2): 1e-3 in the code released with CgAT; that of
            SAAT, ProS-GAN and ATRDH uses 50 times bits / training images.
    """
    return PairwiseSupervised(codes, labels, balance, quantisation)


class PairwiseSupervised(Method):
    """Mean logistic loss of t = u_i.u_j / 2 over a batch and the memory, plus a quantisation term."""

    def __init__(self, codes: Codes, labels: Labels, balance: bool, quantisation: float) -> None:
        super().__init__()
        self.balance = balance
        self.memory = CodeMemory(codes, labels)
        self.quantisation = quantisation

    def forward(self, codes: Codes, labels: Labels, index: Index) -> Scalar:
        """The loss of a batch, whose rows of the memory are refreshed first."""
        similar = self.memory.refresh(codes, labels, index)
        likelihood = pair_mean(pair_losses(codes @ self.memory.codes.T / 2, similar), similar, self.balance)
        return likelihood + self.quantisation * quantisation_error(codes)
