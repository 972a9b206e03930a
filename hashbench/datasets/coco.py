"""MS-COCO: images of everyday scenes with 80 kinds of objects (Lin et al., ECCV 2014)."""

from __future__ import annotations

from pathlib import Path

from hashbench.datasets.list_files import Origin, known, list_split
from hashbench.models.data import RetrievalSplit
from hashbench.registry.decorators import dataset
from hashbench.registry.parameters import Count, Share

ORIGIN = known(
    Origin(
        name="coco",
        images="train2014.zip and val2014.zip of COCO (cocodataset.org), unpacked as train2014/ and val2014/",
        lists="the folder data/MS-COCO of the repository xunguangwang/ProS-GAN, or its authors where it has none",
        classes=80,
        sizes={"train": 10000, "test": 5000},
    )
)


@dataset("coco", paper="Lin et al., ECCV 2014; split of Wang et al. (ProS-GAN), CVPR 2021")
def coco(*, root: Path | None = None, size: Count = 224, eps: Share = 8 / 255) -> RetrievalSplit:
    """MS-COCO 2014 in the split of CgAT and SAAT: 5,000 queries, 10,000 train; all others are the database.

    Args:
        root: folder of the images and the six list files; `hashbench data coco --root DIR` inspects it.
        size: images are resized to size * 256 / 224 and cut to size x size pixels.
        eps: the budget where the command line gives none.

    Raises:
        MissingData: a list or an image is missing.
        BadInput: a list has another form.
    """
    return list_split(ORIGIN, root, size, eps)
