"""What attacks, defenses and the referee share about codes."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from hashbench.models.data import Gallery, ImageSet
from hashbench.models.image_files import stream
from hashbench.models.model import HashModel, binarize, frozen
from hashbench.types import BinaryCodes, Codes, GuideCodes, Images, Labels

BATCH = 256  # images that go through a model at once; changing it changes last digits
PIXELS = 1 << 23  # values in a batch of images; batches of larger images are smaller


def encode(model: HashModel, images: ImageSet) -> Codes:
    """The relaxed codes of a whole set, [n, bits], from the model in eval mode.

    >>> model = HashModel(torch.nn.Flatten(), bits=4)
    >>> encode(model, ImageSet(torch.ones(3, 1, 2, 2), torch.ones(3, 1))).shape
    torch.Size([3, 4])
    """
    device = next((weight.device for weight in model.parameters()), torch.device("cpu"))
    with frozen(model), torch.no_grad():
        batches = images.batches(batch_size(images))
        return torch.cat([model(batch) for batch in stream(images.images, batches, device)])


def batch_size(images: ImageSet) -> int:
    """How many images of a set go through a model at once: 256, or 32 at 224 pixels.

    >>> batch_size(ImageSet(torch.zeros(1, 3, 32, 32), torch.zeros(1, 1)))
    256
    >>> batch_size(ImageSet(torch.zeros(1, 3, 224, 224), torch.zeros(1, 1)))
    32
    """
    fitting = max(1, PIXELS // math.prod(images.images.shape[1:]))
    return int(min(BATCH, 1 << (fitting.bit_length() - 1)))


def encode_batch(model: HashModel, images: Images) -> Codes:
    """The relaxed codes of a batch, [images, bits], from the model in eval mode, without gradient."""
    with frozen(model), torch.no_grad():
        return model(images)


def bit_entropy(codes: BinaryCodes) -> float:
    """Mean entropy of the bits over a set of codes, in [0, 1]; 0 where every code is the same."""
    ones = (codes > 0).double().mean(0)
    return float((torch.special.entr(ones) + torch.special.entr(1 - ones)).mean() / math.log(2))


def draw_rows(count: int, wanted: int, device: torch.device) -> Tensor:
    """Positions of `wanted` of `count` items, drawn without replacement from the global random state; at most all."""
    return torch.randperm(count)[:wanted].to(device)


def shared_labels(labels: Labels, others: Labels) -> Tensor:
    """Whether two items share a label, [items, others], as 0 or 1.

    >>> shared_labels(torch.tensor([[1.0, 1.0]]), torch.tensor([[0.0, 1.0], [0.0, 0.0]]))
    tensor([[1., 0.]])
    """
    return (labels @ others.T).clamp_(max=1)


def center_code(codes: Codes, code_labels: Labels, labels: Labels, *, weighted: bool = False) -> GuideCodes:
    """The code nearest to the relevant codes and farthest from the others, for each row of `labels`.

    Bit by bit sign(n_neg * sum_pos - n_pos * sum_neg), which is sign(mean_pos - mean_neg) where both
    groups have members: it maximises the sum of all pairwise distances to irrelevant codes minus those
    to relevant ones, since that sum is linear in each bit (CgAT, Wang et al., WWW 2023, center code).
    A bit without a majority is 0; so is the whole code where every item is relevant, or none. Sums over items
    are taken in the precision of the codes, which is exact for fewer than 2^24 binary ones.

    Args:
        codes: binary or relaxed codes [n, bits].
        code_labels: their labels [n, classes].
        labels: labels of the images that need a code [items, classes].
        weighted: weight a relevant code by the Jaccard similarity of the two label sets instead of 1.

    >>> codes = torch.tensor([[1.0, 1.0, -1.0], [1.0, -1.0, -1.0], [-1.0, 1.0, 1.0]])
    >>> labels = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    >>> center_code(codes, labels, torch.tensor([[1.0, 0.0]]))
    tensor([[ 1., -1., -1.]])
    """
    items = len(codes)
    relevant = shared_labels(code_labels, labels)  # in this order the products are faster
    positives = relevant.sum(0)[:, None].double()
    positive_sum, total = (relevant.T @ codes).double(), codes.sum(0).double()
    lean = torch.addcmul(items * positive_sum, positives, total, value=-1)  # n_neg + n_pos is n
    if weighted:
        weighted_sum = label_jaccard(labels, code_labels) @ codes.double()
        lean = lean + (items - positives) * (weighted_sum - positive_sum)
    return lean.masked_fill_(positives == items, 0).sign_().to(codes.dtype)


def sample_of(gallery: Gallery, number: int) -> Gallery:
    """Items of a gallery, drawn like `draw_rows`; all of them if there are no more than `number`."""
    rows = draw_rows(len(gallery.codes), number, gallery.codes.device)
    return Gallery(gallery.codes[rows], gallery.labels[rows])


def class_codes(codes: Codes, code_labels: Labels) -> GuideCodes:
    """The center code of each class that occurs, [classes, bits]."""
    classes = torch.eye(code_labels.shape[1], device=codes.device, dtype=codes.dtype)[code_labels.any(0)]
    return center_code(codes, code_labels, classes)


def nearest(codes: Codes, centers: GuideCodes, own: Labels) -> Tensor:
    """Classes ordered from the nearest center to the farthest, a code's own classes last: [codes, classes].

    Args:
        codes: relaxed codes [codes, bits].
        centers: [classes, bits].
        own: [codes, classes], 1 for the classes that a code's image has.
    """
    likeness = binarize(codes) @ centers.T - (2 * centers.shape[1] + 1) * own  # < -bits, for own centers too
    return likeness.sort(dim=1, descending=True, stable=True).indices


def other_centers(codes: Codes, memory: BinaryCodes, memory_labels: Labels, labels: Labels) -> Tensor:
    """The center codes of all classes, for each code the nearest first, its own classes last: [codes, classes, bits].

    Args:
        codes: relaxed codes [codes, bits].
        memory: binary codes that the centers are made of [n, bits].
        memory_labels: their labels [n, all classes].
        labels: labels of the codes [codes, all classes].
    """
    centers = class_codes(memory, memory_labels)
    return centers[nearest(codes, centers, labels[:, memory_labels.any(0)])]


def mainstay_code(codes: Codes, code_labels: Labels, labels: Labels) -> GuideCodes:
    """The weighted center code, for each row of `labels`: [items, bits].

    Bit by bit sign(weighted mean of the relevant codes - mean of the irrelevant ones), the weights being
    the cosine of the label vectors; a mean over nothing is left out (SAAT's mainstay code, Yuan et al.,
    TIFS 2023; PgA's pharos code, Wang et al., 2023, is of this form).

    Args:
        codes: binary or relaxed codes [n, bits].
        code_labels: their labels [n, classes].
        labels: labels of the images that need a code [items, classes].
    """
    weights = label_cosine(labels, code_labels)
    irrelevant = (weights == 0).double()
    return torch.sign(_mean_code(weights, codes) - _mean_code(irrelevant, codes)).to(codes.dtype)


def label_cosine(labels: Labels, others: Labels) -> Tensor:
    """The cosine of label vectors, [items, others] in double precision; 0 for an empty label set."""
    lengths = labels.double().norm(dim=1)[:, None] * others.double().norm(dim=1)
    cosine: Tensor = labels.double() @ others.double().T / (lengths + 1e-8)
    return cosine


def label_jaccard(labels: Labels, others: Labels) -> Tensor:
    """The shared labels of two items over all their labels, [items, others] in double precision; 0 for two empty sets.

    >>> label_jaccard(torch.tensor([[1.0, 1.0, 0.0]]), torch.tensor([[0.0, 1.0, 1.0]])).round(decimals=3)
    tensor([[0.3330]], dtype=torch.float64)
    """
    shared = labels.double() @ others.double().T
    together = labels.double().sum(1, keepdim=True) + others.double().sum(1) - shared
    return shared / together.clamp(min=1)


def anchor_code(gallery: Gallery, wanted: Labels, draws: Tensor, members: int) -> GuideCodes:
    """The majority of the codes of database items with the wanted labels, for each row: [items, bits].

    The items are drawn without replacement from those with exactly the wanted label set, or, if there is none, from
    those with the nearest label sets; if there are fewer than `members`, all of them vote (component voting, Bai et
    al., ECCV 2020).

    Args:
        wanted: labels [items, classes].
        draws: random numbers in [0, 1), [items, database items]; the highest are drawn.
        members: how many codes vote; with an even number a bit can be 0.
    """
    likeness = label_cosine(wanted, gallery.labels)
    candidates = likeness >= likeness.amax(1, keepdim=True) - 1e-6
    ranked = draws.masked_fill(~candidates, -1).topk(min(members, draws.shape[1]), dim=1)
    votes = gallery.codes[ranked.indices] * (ranked.values >= 0)[:, :, None]
    return majority(votes)


def majority(codes: Tensor) -> GuideCodes:
    """The bitwise majority of binary codes [items, members, bits]; 0 where a vote is tied.

    >>> majority(torch.tensor([[[1.0, 1.0], [1.0, -1.0]]]))
    tensor([[1., 0.]])
    """
    return codes.sum(1).sign()


def _mean_code(weights: Tensor, codes: Codes) -> Tensor:
    total = weights.sum(1, keepdim=True)
    return weights @ codes.double() / total.masked_fill(total == 0, 1)
