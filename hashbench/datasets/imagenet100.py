"""ImageNet-100: one hundred classes of ILSVRC 2012, as hashing papers use them (Cao et al., ICCV 2017)."""

from __future__ import annotations

from pathlib import Path

from hashbench.datasets.list_files import Origin, known, list_split
from hashbench.models.data import RetrievalSplit
from hashbench.registry.decorators import dataset
from hashbench.registry.parameters import Count, Share

ORIGIN = known(
    Origin(
        name="imagenet100",
        images="ILSVRC 2012 (image-net.org, after registration)",
        lists="the repository thuml/HashNet (13,000 train) or jiawangbai/DHTA (10,000 train), rewritten as six files",
        classes=100,
        sizes={"test": 5000},
    )
)


@dataset("imagenet100", paper="Deng et al., CVPR 2009; classes of Cao et al. (HashNet), ICCV 2017")
def imagenet100(*, root: Path | None = None, size: Count = 224, eps: Share = 8 / 255) -> RetrievalSplit:
    """100 classes of ImageNet: 5,000 queries from its validation part, train and database from its training part.

    Args:
        root: folder of the images and the six list files; `hashbench data imagenet100 --root DIR` inspects it.
        size: images are resized to size * 256 / 224 and cut to size x size pixels.
        eps: the budget where the command line gives none.

    Raises:
        MissingData: a list or an image is missing.
        BadInput: a list has another form.
    """
    return list_split(ORIGIN, root, size, eps)
