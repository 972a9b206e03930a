"""DPSH: deep pairwise-supervised hashing (Li, Wang and Kang, IJCAI 2016)."""

from __future__ import annotations

from hashbench.methods.memory import CodeMemory, balanced_signs, pair_losses, quantisation_error
from hashbench.parameters import NonNegative
from hashbench.protocols import Method
from hashbench.registry import method
from hashbench.types import Codes, Index, Labels, Scalar


@method("dpsh", paper="Li, Wang and Kang, IJCAI 2016")
def dpsh(codes: Codes, labels: Labels, *, quantisation: NonNegative = 1e-3) -> Method:
    """Pairwise likelihood of shared labels given half the inner product of two codes.

    Needs a memory that starts from the model's own codes; trains from scratch with it. All pairs weigh
    the same, so that dissimilar ones prevail where there are many classes.

    Args:
        quantisation: weight of mean((code - sign)^2): 1e-3 in the code released with CgAT; that of
            SAAT, ProS-GAN and ATRDH uses 50 times bits / training images.
    """
    return PairwiseSupervised(balanced_signs(codes), labels, quantisation)


class PairwiseSupervised(Method):
    """Mean logistic loss of t = u_i.u_j / 2 over a batch and the memory, plus a quantisation term."""

    def __init__(self, codes: Codes, labels: Labels, quantisation: float) -> None:
        super().__init__()
        self.memory = CodeMemory(codes, labels)
        self.quantisation = quantisation

    def forward(self, codes: Codes, labels: Labels, index: Index) -> Scalar:
        """The loss of a batch, whose rows of the memory are refreshed first."""
        similar = self.memory.refresh(codes, labels, index)
        likelihood = pair_losses(codes @ self.memory.codes.T / 2, similar).mean()
        return likelihood + self.quantisation * quantisation_error(codes)
