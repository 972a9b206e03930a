"""NUS-WIDE: images from flickr.com, here with their 21 most frequent concepts (Chua et al., CIVR 2009)."""

from __future__ import annotations

from pathlib import Path

from hashbench.datasets.list_files import Origin, known, list_split
from hashbench.models.data import RetrievalSplit
from hashbench.registry.decorators import dataset
from hashbench.registry.parameters import Count, Share

ORIGIN = known(
    Origin(
        name="nuswide",
        images="NUS-WIDE (Chua et al., National University of Singapore; a copy is linked in the README of the "
        "repository swuxyj/DeepHash-pytorch), unpacked as images/",
        lists="the folder data/NUS-WIDE of the repository xunguangwang/ProS-GAN, or its authors where it has none",
        classes=21,
        sizes={"database": 193734, "train": 10500, "test": 2100},
    )
)


@dataset("nuswide", paper="Chua et al., CIVR 2009; split of Wang et al. (ProS-GAN), CVPR 2021")
def nuswide(*, root: Path | None = None, size: Count = 224, eps: Share = 8 / 255) -> RetrievalSplit:
    """NUS-WIDE, 21 concepts, in the split of CgAT and SAAT: 2,100 queries, 10,500 train, 193,734 database.

    Args:
        root: folder of the images and the six list files; `hashbench data nuswide --root DIR` inspects it.
        size: images are resized to size * 256 / 224 and cut to size x size pixels.
        eps: the budget where the command line gives none.

    Raises:
        MissingData: a list or an image is missing.
        BadInput: a list has another form.
    """
    return list_split(ORIGIN, root, size, eps)
