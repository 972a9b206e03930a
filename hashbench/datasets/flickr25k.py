"""FLICKR-25K: 25,000 images from flickr.com with 38 concepts (Huiskes and Lew, MIR 2008)."""

from __future__ import annotations

from pathlib import Path

from hashbench.datasets.list_files import Origin, known, list_split
from hashbench.models.data import RetrievalSplit
from hashbench.registry.decorators import dataset
from hashbench.registry.parameters import Count, Share

ORIGIN = known(
    Origin(
        name="flickr25k",
        images="mirflickr25k.zip of MIRFLICKR (Huiskes and Lew, LIACS, Leiden University), unpacked as mirflickr/",
        lists="the folder data/FLICKR-25K of the repository xunguangwang/ProS-GAN",
        classes=38,
        sizes={"database": 23300, "train": 5000, "test": 1700},
    )
)


@dataset("flickr25k", paper="Huiskes and Lew, MIR 2008; split of Wang et al. (ProS-GAN), CVPR 2021")
def flickr25k(*, root: Path | None = None, size: Count = 224, eps: Share = 8 / 255) -> RetrievalSplit:
    """FLICKR-25K in the split of CgAT and SAAT: 1,700 queries, 23,300 database, 5,000 lines of it train.

    Args:
        root: folder of the images and the six list files; `hashbench data flickr25k --root DIR` inspects it.
        size: images are resized to size * 256 / 224 and cut to size x size pixels.
        eps: the budget where the command line gives none.

    Raises:
        MissingData: a list or an image is missing.
        BadInput: a list has another form.
    """
    return list_split(ORIGIN, root, size, eps)
