"""HashNet: deep learning to hash by continuation (Cao et al., ICCV 2017)."""

from __future__ import annotations

from hashbench.methods.memory import CodeMemory, pair_losses, pair_mean
from hashbench.registry.decorators import method
from hashbench.registry.parameters import Positive
from hashbench.registry.protocols import Method
from hashbench.types import Codes, Index, Labels, Scalar


@method("hashnet", paper="Cao et al., ICCV 2017")
def hashnet(codes: Codes, labels: Labels, *, scale: Positive = 0.1) -> Method:
    """Weighted pairwise likelihood against a memory of the whole training set.

    The memory starts from the model's own codes: starting from zeros, a network trained from scratch tends to
    collapse. As in the code released with CgAT, the tanh keeps its scale (the paper sharpens it by continuation), and
    similar and dissimilar pairs have the same total weight.

    Args:
        scale: factor of the inner product of two codes inside the logistic function.
    """
    return PairwiseLikelihood(codes, labels, scale)


class PairwiseLikelihood(Method):
    """Mean logistic loss over similar pairs plus mean logistic loss over dissimilar pairs."""

    def __init__(self, codes: Codes, labels: Labels, scale: float) -> None:
        super().__init__()
        self.memory = CodeMemory(codes, labels)
        self.scale = scale

    def forward(self, codes: Codes, labels: Labels, index: Index) -> Scalar:
        """The loss of a batch, whose rows of the memory are refreshed first."""
        similar = self.memory.refresh(codes, labels, index)
        loss = pair_losses(self.scale * codes @ self.memory.codes.T, similar)
        return 2 * pair_mean(loss, similar, balance=True)
