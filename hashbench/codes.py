"""What attacks, defenses and the referee share about codes."""

from __future__ import annotations

import math

import torch

from hashbench.data import ImageSet
from hashbench.image_files import stream
from hashbench.model import HashModel, frozen
from hashbench.types import Codes, GuideCodes, Labels

BATCH = 256  # images that go through a model at once; part of what makes digits repeat
PIXELS = 1 << 23  # values of the images of a batch; of larger images fewer go at once


def encode(model: HashModel, images: ImageSet) -> Codes:
    """The relaxed codes of a whole set, [n, bits], from the model in eval mode."""
    device = next((weight.device for weight in model.parameters()), torch.device("cpu"))
    with frozen(model), torch.no_grad():
        batches = images.batches(batch_size(images))
        return torch.cat([model(batch) for batch in stream(images.images, batches, device)])


def batch_size(images: ImageSet) -> int:
    """How many images of a set go through a model at once: 256, of images of 224 pixels 32."""
    fitting = max(1, PIXELS // math.prod(images.images.shape[1:]))
    return int(min(BATCH, 1 << (fitting.bit_length() - 1)))


def shared_labels(labels: Labels, others: Labels) -> torch.Tensor:
    """Whether two items share a label, [items, others], as 0 or 1 in double precision."""
    return (labels @ others.T > 0).double()


def center_code(codes: Codes, code_labels: Labels, labels: Labels) -> GuideCodes:
    """The code nearest to the relevant codes and farthest from the others, for each row of `labels`.

    Bit by bit sign(n_neg * sum_pos - n_pos * sum_neg), which is sign(mean_pos - mean_neg) where both
    groups have members: it maximises the sum of all pairwise distances to irrelevant codes minus those
    to relevant ones, since that sum is linear in each bit (CgAT, Wang et al., WWW 2023, center code).
    A bit without a majority is 0; so is the whole code where every item or none is relevant.

    Args:
        codes: binary or relaxed codes [n, bits].
        code_labels: their labels [n, classes].
        labels: labels of the images that need a code [items, classes].
    """
    relevant = shared_labels(labels, code_labels)
    positives = relevant.sum(1, keepdim=True)
    positive_sum = relevant @ codes.double()
    negative_sum = codes.double().sum(0) - positive_sum
    return torch.sign((len(codes) - positives) * positive_sum - positives * negative_sum).to(codes.dtype)
