"""Any data set in the folder format of the field."""

from __future__ import annotations

from pathlib import Path

from hashbench.datasets.list_files import Origin, known, list_split
from hashbench.models.data import RetrievalSplit
from hashbench.registry.decorators import dataset
from hashbench.registry.parameters import Count, Share

ORIGIN = known(Origin(name="lists", images="wherever its lists come from", lists="whoever made the folder"))


@dataset("lists")
def lists(*, root: Path | None = None, size: Count = 224, eps: Share = 8 / 255) -> RetrievalSplit:
    """A folder of images with the six list files {database,train,test}_{img,label}.txt.

    Args:
        root: folder of the images and the six list files; `hashbench data lists --root DIR` inspects it.
        size: images are resized to size * 256 / 224 and cut to size x size pixels.
        eps: the budget where the command line gives none.

    Raises:
        MissingData: a list or an image is missing.
        BadInput: a list has another form.
    """
    return list_split(ORIGIN, root, size, eps)
