"""CSQ: Central Similarity Quantization (Yuan et al., CVPR 2020)."""

from __future__ import annotations

import functools

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from hashbench.registry.decorators import method
from hashbench.registry.parameters import NonNegative, Seed
from hashbench.registry.protocols import Method
from hashbench.types import BinaryCodes, Codes, Index, Labels, Scalar

DRAWS = 500  # candidate sets of centers that are compared


@method("csq", paper="Yuan et al., CVPR 2020")
def csq(codes: Codes, labels: Labels, *, quantisation: NonNegative = 1e-4, center_seed: Seed = 0) -> Method:
    """Pull each code to the Hadamard center of its class, or to the majority of its classes' centers.

    Trains from scratch; keeps no memory of the training set. The constants are those of the code
    released with CgAT.

    Args:
        quantisation: weight of mean((|code| - 1)^2).
        center_seed: seed of the centers and of the bits that decide a tied vote.
    """
    centers = hash_centers(labels.shape[1], codes.shape[1], center_seed)
    tie_bits = np.random.RandomState(center_seed).choice([-1.0, 1.0], codes.shape[1])
    return CentralSimilarity(torch.from_numpy(centers).to(codes), torch.from_numpy(tie_bits).to(codes), quantisation)


class CentralSimilarity(Method):
    """Binary cross-entropy to a center for each image, plus a quantisation term."""

    centers: Tensor
    tie_bits: Tensor

    def __init__(self, centers: BinaryCodes, tie_bits: Tensor, quantisation: float) -> None:
        super().__init__()
        self.register_buffer("centers", centers)
        self.register_buffer("tie_bits", tie_bits)
        self.quantisation = quantisation

    def targets(self, labels: Labels) -> BinaryCodes:
        """The center [batch, bits] of each row of labels; a row without labels gets the tie bits."""
        votes = labels @ self.centers
        return torch.where(votes == 0, self.tie_bits, votes.sign())

    def forward(self, codes: Codes, labels: Labels, index: Index) -> Scalar:
        """The loss of a batch."""
        if codes.isnan().any():
            return codes.mean()  # binary_cross_entropy would raise, and on a GPU kill the process
        probabilities, wanted = (codes + 1) / 2, (self.targets(labels) + 1) / 2
        likelihood = functional.binary_cross_entropy(probabilities, wanted)
        return likelihood + self.quantisation * ((codes.abs() - 1) ** 2).mean()


def hash_centers(classes: int, bits: int, seed: int) -> np.ndarray:
    """Centers in {-1, +1}, [classes, bits], far apart and without constant bits where possible.

    Rows of [H; -H] for a Hadamard matrix H of order `bits`; if that has too few rows, or if `bits` is not a power
    of two, rows and columns of the next larger one. The first rows of H all share their first bit, which would then
    say nothing about the class. So rows (and columns) are drawn at random many times; the draw that is kept has the
    fewest constant bits, then the largest minimum distance between centers, then the most balanced bits.

    >>> centers = hash_centers(classes=4, bits=8, seed=0)
    >>> centers.shape, ((8 - centers @ centers.T) / 2)[0].tolist()
    ((4, 8), [0.0, 4.0, 4.0, 4.0])
    """
    return _best_draw(classes, bits, seed).copy()


@functools.cache  # a run asks for the same centers whenever it makes or loads a model
def _best_draw(classes: int, bits: int, seed: int) -> np.ndarray:
    random = np.random.RandomState(seed)
    order = 1 << (bits - 1).bit_length()
    while 2 * order < classes:
        order *= 2
    from scipy.linalg import hadamard  # slow to import

    square = hadamard(order)
    rows = np.concatenate([square, -square])
    best, best_rank = rows[:classes, :bits], (-1.0, -1.0, -float("inf"))
    for _ in range(DRAWS):
        columns = random.permutation(order)[:bits] if order != bits else np.arange(bits)
        if 2 < classes <= order:  # no opposite centers: an image with both classes would have no majority
            picked = random.permutation(order)[:classes] + order * random.randint(0, 2, classes)
        else:
            picked = random.permutation(2 * order)[:classes]
        drawn = rows[picked][:, columns]
        rank = _quality(drawn)
        if rank > best_rank:
            best, best_rank = drawn, rank
    return best.astype(np.float32)


def _quality(centers: np.ndarray) -> tuple[float, float, float]:
    classes, bits = centers.shape
    imbalance = np.abs(centers.sum(axis=0))
    distances = (bits - centers @ centers.T) // 2 + bits * np.eye(classes, dtype=int)
    return float((imbalance < classes).sum()), float(distances.min()), -float(imbalance.sum())
