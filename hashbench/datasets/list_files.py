"""The usual folder format of the field: images, and for each role a list of files and a list of label rows.

`database_img.txt`, `train_img.txt` and `test_img.txt` hold one path per line, relative to the folder;
`database_label.txt`, `train_label.txt` and `test_label.txt` hold a row of 0 and 1 for each of them.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np
import torch

from hashbench.digests import DATA_VARIABLE
from hashbench.errors import BadInput, MissingData
from hashbench.models.data import ImageSet, RetrievalSplit
from hashbench.models.image_files import ImageFiles
from hashbench.readers.folders import read_text
from hashbench.readers.text import printable, shown
from hashbench.registry.decorators import dataset
from hashbench.registry.parameters import Count, Share
from hashbench.registry.protocols import Dataset
from hashbench.types import Labels

LARGEST = 1 << 29  # bytes of one list
ROLES = ("database", "train", "test")


@dataclass(frozen=True)
class Origin:
    """What a data set should hold, and where its parts come from."""

    name: str
    images: str
    lists: str
    classes: int | None = None
    sizes: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Role:
    """The lines of one role's lists: paths relative to the folder, and labels [lines, classes]."""

    name: str
    names: list[str]
    labels: Labels


ORIGINS: dict[str, Origin] = {}

_ARGUMENTS = """
Args:
    root: folder of the images and the six list files; `hashbench data {name} --root DIR` inspects it.
    size: images are resized to size * 256 / 224 and cut to size x size pixels.
    eps: the budget where the command line gives none.

Raises:
    MissingData: a list or an image is missing.
    BadInput: a list has another form.
"""


def list_dataset(origin: Origin, summary: str, *, paper: str = "", version: int = 1) -> Dataset:
    """Register a data set of list files, and make it known to `hashbench data`.

    Args:
        summary: the first sentence of its documentation.
        paper: its source, and that of its split.
        version: raised whenever the same files give other images, labels or roles.
    """

    def load(*, root: Path | None = None, size: Count = 224, eps: Share = 8 / 255) -> RetrievalSplit:
        return list_split(origin, root, size, eps)

    load.__name__ = origin.name
    load.__doc__ = summary + "\n" + _ARGUMENTS.format(name=origin.name)
    ORIGINS[origin.name] = origin
    return dataset(origin.name, paper=paper, version=version)(load)


def list_split(origin: Origin, root: Path | None, size: int, eps: float) -> RetrievalSplit:
    """A data set split into its roles, whose images are decoded when they are needed.

    Queries are the `test` lists. The same number of validation queries is drawn with a fixed seed from the database
    images that are neither trained on nor queries; there may be fewer, or none. A file that is listed twice counts
    twice, as published. The digest covers size, paths, labels and the length of every image file; a changed image of
    equal length would go unnoticed.

    Raises:
        MissingData: the folder, a list or an image is missing.
        BadInput: a list has another form.
    """
    folder = checked_folder(origin.name, root)
    roles = {role: read_role(folder, role, origin) for role in ROLES}
    check_classes(folder, list(roles.values()))
    lengths = [file_lengths(folder, role) for role in roles.values()]
    digest = hashlib.sha256(f"{size} {list_digest(roles.values())} {lengths}".encode()).hexdigest()[:16]
    sets = {
        role.name: ImageSet(ImageFiles([folder / n for n in role.names], size), role.labels) for role in roles.values()
    }
    held_out = validation_lines(roles)
    validation = ImageSet(
        ImageFiles([folder / roles["database"].names[line] for line in held_out], size),
        roles["database"].labels[held_out],
    )
    return RetrievalSplit(sets["train"], sets["test"], validation, sets["database"], 3, size, eps, digest)


def checked_folder(name: str, root: Path | None) -> Path:
    """The folder of a data set: the given one, or the one with its name in $HASHBENCH_DATA.

    Raises:
        MissingData: no folder was given, or it does not exist.
    """
    if root is None and (data := os.environ.get(DATA_VARIABLE)):
        root = Path(data).expanduser() / name
    if root is None:
        lists = ", ".join(name for role in ROLES for name in list_names(role))
        raise MissingData(
            f"{name} needs its folder: {name}:root=DIR, or the folder {name} in ${DATA_VARIABLE}, with the images and "
            f"{lists}; 'hashbench data {name} --root DIR' says what is missing"
        )
    if not root.is_dir():
        raise MissingData(f"there is no folder {root}; give root= the folder with the lists and images of {name}")
    return root


def list_names(role: str) -> tuple[str, str]:
    """The names of a role's two list files."""
    return f"{role}_img.txt", f"{role}_label.txt"


def read_role(folder: Path, role: str, origin: Origin) -> Role:
    """Read the two lists of a role.

    Raises:
        MissingData: a list is missing.
        BadInput: the lists do not match or have another form; the message names file and line.
    """
    images, labels = (folder / name for name in list_names(role))
    for path in (images, labels):
        if not path.is_file():
            raise MissingData(f"there is no {path}; get it from {origin.lists}")
    names = _lines(images)
    for number, name in enumerate(names, 1):
        if not name.strip():
            raise BadInput(f"{images}, line {number} is empty; each line names an image")
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or printable(name, len(name)) != name:
            raise BadInput(
                f"{images}, line {number} names {shown(name)}; give plain paths inside the folder, relative to it"
            )
    rows = [line.split() for line in _lines(labels)]
    if len(names) != len(rows):
        longer, shorter = (images, labels) if len(names) > len(rows) else (labels, images)
        raise BadInput(
            f"{images} has {len(names)} lines and {labels} has {len(rows)}; line {min(len(names), len(rows)) + 1} of "
            f"{longer} has no counterpart in {shorter.name}"
        )
    wanted = origin.sizes.get(role, len(names))
    if not names or len(names) != wanted:
        raise BadInput(
            f"{images} has {len(names)} lines instead of {wanted or 'at least 1'}; get it from {origin.lists}, "
            "or use a split of your own with the data set 'lists'"
        )
    return Role(role, [name.strip() for name in names], _label_matrix(labels, rows, origin.classes))


def check_classes(folder: Path, roles: Sequence[Role]) -> None:
    """Refuse lists whose label rows differ in length.

    Raises:
        BadInput: they do; the message names the two files.
    """
    first = roles[0]
    for role in roles[1:]:
        if role.labels.shape[1] != first.labels.shape[1]:
            one, two = (folder / list_names(r.name)[1] for r in (first, role))
            raise BadInput(
                f"{one} has {first.labels.shape[1]} classes and {two} has {role.labels.shape[1]}; they must agree"
            )


def list_digest(roles: Iterable[Role]) -> str:
    """Sixteen hexadecimal digits that identify roles, paths and labels."""
    found = hashlib.sha256()
    for role in roles:
        found.update("\n".join([role.name, *role.names]).encode())
        found.update(role.labels.numpy().astype(np.uint8).tobytes())
    return found.hexdigest()[:16]


def file_lengths(folder: Path, role: Role) -> list[int]:
    """The length in bytes of each image file of a role.

    Raises:
        MissingData: an image is missing; the message names list and line.
    """
    lengths = []
    for line, name in enumerate(role.names, 1):
        try:
            lengths.append(os.stat(folder / name).st_size)  # noqa: PTH116
        except OSError:
            raise MissingData(
                f"{folder / list_names(role.name)[0]}, line {line}: there is no image {folder / name}"
            ) from None
    return lengths


def validation_lines(roles: dict[str, Role]) -> list[int]:
    """The lines of the database list that serve as validation queries, in their order."""
    taken = {*roles["train"].names, *roles["test"].names}
    free = [line for line, name in enumerate(roles["database"].names) if name not in taken]
    drawn = np.random.RandomState(0).permutation(len(free))[: len(roles["test"].names)]
    return sorted(free[position] for position in drawn)


def _lines(path: Path) -> list[str]:
    return read_text(path, LARGEST).splitlines()


def _label_matrix(path: Path, rows: list[list[str]], classes: int | None) -> Labels:
    width = classes or len(rows[0])
    for line, row in enumerate(rows, 1):
        if len(row) != width:
            raise BadInput(f"{path}, line {line} has {len(row)} values instead of {width}, one for each class")
        if not _BINARY.issuperset(row):
            odd = next(value for value in row if value not in _BINARY)
            raise BadInput(f"{path}, line {line} holds {odd!r}; labels are 0 and 1")
    return torch.from_numpy(np.array([[value == "1" for value in row] for row in rows], dtype=np.float32))


_BINARY = frozenset("01")
