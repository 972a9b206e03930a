"""DSDH: deep supervised discrete hashing (Li, Sun, He and Tan, NeurIPS 2017)."""

from __future__ import annotations

import torch
from torch import Tensor

from hashbench.methods.memory import CodeMemory, pair_losses, pair_mean
from hashbench.registry.decorators import method
from hashbench.registry.parameters import Count, NonNegative, Positive
from hashbench.registry.protocols import Method
from hashbench.types import Codes, Index, Labels, Scalar


# Version 2: under `pgd-training` the discrete codes are found once an epoch, from codes of clean images alone.
@method("dsdh", paper="Li, Sun, He and Tan, NeurIPS 2017", version=2)
def dsdh(
    codes: Codes,
    labels: Labels,
    *,
    balance: bool = True,
    regression: NonNegative = 1.0,
    ridge: Positive = 1.0,
    attachment: NonNegative = 55.0,
    sweeps: Count = 10,
    pull: NonNegative = 0.0,
) -> Method:
    """Pairwise likelihood, plus discrete codes that predict the labels, found by cyclic coordinate descent.

    The memory starts from the model's own codes; trains from scratch. The constants are those of the code
    released with CgAT.

    Args:
        balance: give similar and dissimilar pairs the same total weight. The released code gives every pair the same
            weight (no); trained from scratch, codes then collapse on data with few similar pairs.
        regression: weight of the squared error of predicting labels from discrete codes (mu).
        ridge: weight of the squared norm of that linear classifier (nu).
        attachment: how strongly the descent ties discrete codes to the network's codes (eta).
        sweeps: how often the coordinate descent goes over all bits, once per epoch.
        pull: weight of mean((code - discrete code)^2). In the paper it is the only term through which the discrete
            codes influence the network; the released code omits it, so that its network learns from the pairwise
            likelihood alone.
    """
    return DiscreteSupervised(codes, labels, balance, regression, ridge, attachment, sweeps, pull)


class DiscreteSupervised(Method):
    """Mean logistic loss of t = u_i.u_j / 2, plus the loss of a linear classifier on discrete codes."""

    discrete: Tensor
    classifier: Tensor
    seen: Tensor

    def __init__(
        self,
        codes: Codes,
        labels: Labels,
        balance: bool,
        regression: float,
        ridge: float,
        attachment: float,
        sweeps: int,
        pull: float,
    ) -> None:
        super().__init__()
        self.balance = balance
        self.memory = CodeMemory(codes, labels)
        self.register_buffer("discrete", torch.sign(codes.detach().T))
        self.register_buffer("classifier", codes.new_zeros(codes.shape[1], labels.shape[1]))
        self.register_buffer("seen", torch.ones(len(codes), dtype=torch.bool, device=codes.device))
        self.regression, self.ridge, self.attachment = regression, ridge, attachment
        self.sweeps, self.pull = sweeps, pull

    def update(self) -> None:
        """Recompute classifier and discrete codes in turns, starting from the signs of the memory."""
        self.classifier, self.discrete = discrete_descent(
            self.memory.codes.T, self.memory.labels.T, self.regression, self.ridge, self.attachment, self.sweeps
        )
        self.seen[:] = False

    def forward(self, codes: Codes, labels: Labels, index: Index) -> Scalar:
        """The loss of a batch; the first batch of each epoch updates the discrete codes first."""
        if self.seen[index].any():
            self.update()
        self.seen[index] = True
        similar = self.memory.refresh(codes, labels, index)
        likelihood = pair_mean(pair_losses(codes @ self.memory.codes.T / 2, similar), similar, self.balance)
        targets = self.discrete[:, index].T
        misfit = ((labels - targets @ self.classifier) ** 2).mean()
        penalty = (self.classifier**2).mean()
        pulled = ((codes - targets) ** 2).mean()
        return likelihood + self.regression * misfit + self.ridge * penalty + self.pull * pulled


def discrete_descent(
    outputs: Tensor, labels: Tensor, regression: float, ridge: float, attachment: float, sweeps: int
) -> tuple[Tensor, Tensor]:
    """Minimise |Y - W^T B|^2 * mu + |W|^2 * nu + |B - U|^2 * eta over W and over signs B, in turns.

    W has a closed form given B. Each bit, a row of B, has one given W and the other bits, and the bits are updated in
    order (discrete cyclic coordinate descent, Shen et al., CVPR 2015). A tie gives 0.

    Args:
        outputs: U, relaxed codes [bits, n].
        labels: Y, multi-hot [classes, n].

    Returns:
        W [bits, classes], as computed at the start of the last sweep, and B [bits, n].
    """
    discrete = torch.sign(outputs)
    identity = torch.eye(len(outputs), dtype=outputs.dtype, device=outputs.device)
    classifier = outputs.new_zeros(len(outputs), len(labels))
    for _ in range(sweeps):
        gram = discrete @ discrete.T + ridge / max(regression, 1e-12) * identity
        classifier = torch.linalg.solve(gram, discrete @ labels.T)
        wanted = regression * classifier @ labels + attachment * outputs
        overlap = regression * classifier @ classifier.T
        overlap.fill_diagonal_(0)
        for bit in range(len(outputs)):
            discrete[bit] = torch.sign(wanted[bit] - overlap[bit] @ discrete)
    return classifier, discrete
