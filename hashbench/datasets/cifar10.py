"""CIFAR-10: 60,000 colour images of 10 classes, 32x32 pixels (Krizhevsky, 2009)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from hashbench.datasets.download import torchvision_folder
from hashbench.errors import MissingData
from hashbench.models.data import ImageSet, RetrievalSplit, split_of_tensors
from hashbench.registry.decorators import dataset

QUERIES, TRAIN, VALIDATION = 100, 500, 100  # of each class


@dataset("cifar10", paper="Krizhevsky, 2009; split of Cao et al. (DCH), CVPR 2018, section 4.1")
def cifar10(*, root: Path | None = None) -> RetrievalSplit:
    """CIFAR-10 with 100 queries and 500 training images of each class; the other 54,000 are the database.

    This is the protocol of DCH (Cao et al., CVPR 2018), the one most used in hashing papers; the images drawn differ
    from paper to paper, and here a fixed seed draws them. The 1,000 validation queries are database images that are
    not trained on, so that the database keeps its size.

    Args:
        root: folder that holds cifar-10-batches-py; by default torchvision downloads it.

    Raises:
        MissingData: the files are missing or damaged, or can't be downloaded.
    """
    if root is not None and not root.is_dir():
        raise MissingData(f"there is no folder {root}; give root= the folder that holds cifar-10-batches-py")
    from torchvision.datasets import CIFAR10  # slow to import

    folder = root or torchvision_folder("CIFAR10", "check the network")
    try:
        parts = [CIFAR10(folder, train=train) for train in (True, False)]
    except (RuntimeError, OSError):
        raise MissingData(f"{folder} does not hold an intact cifar-10-batches-py; fetch CIFAR-10 again") from None
    pixels = np.concatenate([part.data for part in parts])
    classes = np.concatenate([part.targets for part in parts])
    queries, train, database = (torch.from_numpy(role) for role in draw_roles(classes))
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2)
    labels = functional.one_hot(torch.from_numpy(classes), 10).float()

    def role(index: torch.Tensor) -> ImageSet:
        return ImageSet(images[index].float() / 255, labels[index])

    return split_of_tensors(
        train=role(train),
        queries=role(queries),
        validation=role(database[: VALIDATION * 10]),
        database=role(database),
        eps=8 / 255,
    )


def draw_roles(classes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions of queries, training images and database, drawn class by class with a fixed seed.

    The database alternates between the classes, so that its first images hold equally many of each.
    """
    random = np.random.RandomState(0)
    drawn = [random.permutation(np.flatnonzero(classes == label)) for label in range(10)]
    cuts = [np.split(members, [QUERIES, QUERIES + TRAIN]) for members in drawn]
    queries, train = (np.concatenate([cut[i] for cut in cuts]) for i in (0, 1))
    longest = max(len(cut[2]) for cut in cuts)
    turns = [cut[2][turn] for turn in range(longest) for cut in cuts if turn < len(cut[2])]
    return queries, train, np.array(turns)
