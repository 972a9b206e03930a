"""Fashion-MNIST: 70,000 images of clothing, 28x28 pixels (Xiao, Rasul and Vollgraf, 2017)."""

from __future__ import annotations

import gzip
import io
import zlib
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from hashbench.datasets.download import torchvision_folder
from hashbench.errors import BadParameter, MissingData
from hashbench.models.data import ImageSet, RetrievalSplit, split_of_tensors
from hashbench.readers.folders import read_bytes
from hashbench.registry.decorators import dataset
from hashbench.registry.parameters import Count

LARGEST = 1 << 26  # bytes of a file, unpacked; the largest has 47 million
DEBIAN = Path("/usr/share/datasets/fashion-mnist")
FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}


@dataset("fashion-mnist", paper="Xiao, Rasul and Vollgraf, arXiv 1708.07747")
def fashion_mnist(
    *,
    root: Path | None = None,
    train: Count = 5000,
    database: Count = 10000,
    queries: Count = 1000,
    validation: Count = 1000,
) -> RetrievalSplit:
    """Real Fashion-MNIST images: the database from the official training part, queries from the test part.

    Args:
        root: folder with the four files, gzipped or not; by default Debian's package dataset-fashion-mnist, else a
            download by torchvision.
        train: how many images are trained on, the first ones of the database.
        database: how many images of the official training part are the database.
        queries: how many images of the official test part are queries.
        validation: how many further images of the official training part are validation queries.

    Raises:
        MissingData: a file is missing or damaged.
        BadParameter: more images are requested than the data set has.
    """
    folder = _folder(root)
    if train > database:
        raise BadParameter(
            f"train={train} is more than database={database}; train is a part of the database, so take fewer"
        )
    learnt = _draw(folder, "train", database + validation)
    tested = _draw(folder, "test", queries)
    base = ImageSet(learnt.images[:database], learnt.labels[:database])
    return split_of_tensors(
        train=ImageSet(base.images[:train], base.labels[:train]),
        queries=tested,
        validation=ImageSet(learnt.images[database:], learnt.labels[database:]),
        database=base,
        eps=8 / 255,
    )


def _folder(root: Path | None) -> Path:
    if root is not None:
        if not root.is_dir():
            raise MissingData(f"there is no folder {root}; give root= the folder that holds {FILES['train'][0]}.gz")
        return root
    if DEBIAN.is_dir():
        return DEBIAN
    return torchvision_folder("FashionMNIST", "apt-get install dataset-fashion-mnist") / "FashionMNIST" / "raw"


def _draw(folder: Path, part: str, number: int) -> ImageSet:
    pixels, classes = (_read(folder, name) for name in FILES[part])
    if number > len(classes):
        raise BadParameter(f"{number} images requested from the {part} part, which has {len(classes)}; request fewer")
    order = np.random.RandomState(0).permutation(len(classes))[:number]
    images = torch.tensor(pixels[order], dtype=torch.float32)[:, None] / 255
    return ImageSet(images, functional.one_hot(torch.tensor(classes[order]).long(), 10).float())


def _read(folder: Path, name: str) -> np.ndarray:
    packed, plain = folder / f"{name}.gz", folder / name
    if not packed.exists() and not plain.exists():
        raise MissingData(f"{folder} has neither {name}.gz nor {name}; give root= the folder with both parts")
    try:
        content = read_bytes(packed if packed.exists() else plain, LARGEST)
        if packed.exists():
            content = gzip.GzipFile(fileobj=io.BytesIO(content)).read(LARGEST)
        dimensions = np.frombuffer(content, ">i4", count=content[3], offset=4)
        return np.frombuffer(content, np.uint8, offset=4 + 4 * content[3]).reshape(dimensions)
    except (OSError, EOFError, ValueError, IndexError, zlib.error):
        raise MissingData(f"{folder / name} is damaged; fetch Fashion-MNIST again") from None
