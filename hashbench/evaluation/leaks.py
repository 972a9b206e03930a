"""Images that are in two roles of a data set, found by their content, not by their names."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from hashbench.models.data import ImageSet, ImageSource, RetrievalSplit
from hashbench.models.image_files import ImageFiles
from hashbench.readers.text import printable

# Neither kind of query is trained on, no query is searched for, and the two kinds are disjoint.
APART = (("queries", "database"), ("queries", "train"), ("validation", "train"), ("queries", "validation"))
NAMED = 3  # pairs in a message
AT_ONCE = 256  # images that are decoded together

Places = dict[bytes, int]  # by digest, the position of the first image that has it


@dataclass(frozen=True)
class Leak:
    """Images of one role that are in another one too, byte for byte.

    Attributes:
        pairs: for each such image its position in `role` and that of its first double in `other`.
        images: all images of `role`.
        names: by role, what the images are called; empty where they have no names.
    """

    role: str
    other: str
    pairs: tuple[tuple[int, int], ...]
    images: int
    names: dict[str, tuple[str, ...]]

    def __str__(self) -> str:
        """One line with the first pairs."""
        named = [
            f"{self._called(self.role, one)} is {self._called(self.other, two)}" for one, two in self.pairs[:NAMED]
        ]
        more = f" and {len(self.pairs) - NAMED} more" if len(self.pairs) > NAMED else ""
        return (
            f"leak: {len(self.pairs)} of {self.images} images of {self.role} are in {self.other} too: "
            f"{', '.join(named)}{more}; take them out of one of the two"
        )

    def _called(self, role: str, position: int) -> str:
        name = f" ({self.names[role][position]})" if role in self.names else ""
        return f"{role}[{position}]{name}"


def leaks(split: RetrievalSplit) -> list[Leak]:
    """The images that are in two roles which should have none in common.

    Images in memory are compared by their pixels, those in files by the bytes of the files; of those only the ones
    whose length occurs in both roles are read.

    >>> import torch
    >>> from hashbench.models.data import split_of_tensors
    >>> images, labels = torch.rand(9, 1, 2, 2), torch.arange(9) % 3
    >>> split = split_of_tensors(queries=(images[:3], labels[:3]), database=(images[2:], labels[2:]), eps=8 / 255)
    >>> print(leaks(split)[0])
    leak: 1 of 3 images of queries are in database too: queries[2] is database[0]; take them out of one of the two
    """
    parts = {
        "train": split.train,
        "queries": split.queries,
        "validation": split.validation,
        "database": split.database,
    }
    digests = {role: _Digests(part.images) for role, part in parts.items()}
    found = []
    for role, other in APART:
        pairs = _pairs(digests[role], digests[other])
        if pairs:
            names = {one: _names(parts[one]) for one in (role, other) if isinstance(parts[one].images, ImageFiles)}
            found.append(Leak(role, other, pairs, len(parts[role]), names))
    return found


class _Digests:
    """The digests of a role's images; each is computed once, and only when it is asked for."""

    def __init__(self, images: ImageSource) -> None:
        self.images = images
        self.lengths = [_length(path) for path in images.paths] if isinstance(images, ImageFiles) else None
        self._known: dict[int, bytes] = {}

    def of(self, lengths: frozenset[int] | None) -> Iterator[tuple[int, bytes]]:
        """Positions and digests, of files only those of some lengths."""
        if isinstance(self.images, ImageFiles):
            for position, length in enumerate(self.lengths or ()):
                if lengths is None or length in lengths:
                    if position not in self._known:
                        self._known[position] = _file_digest(self.images.paths[position])
                    yield position, self._known[position]
            return
        if not self._known:
            self._known = dict(enumerate(_pixel_digests(self.images)))
        yield from self._known.items()


def _pairs(one: _Digests, two: _Digests) -> tuple[tuple[int, int], ...]:
    if (one.lengths is None) != (two.lengths is None):  # pixels and files can't be compared
        return ()
    shared = None if one.lengths is None or two.lengths is None else frozenset(one.lengths) & frozenset(two.lengths)
    places: Places = {}
    for position, digest in two.of(shared):
        places.setdefault(digest, position)
    return tuple((position, places[digest]) for position, digest in one.of(shared) if digest in places)


def _pixel_digests(images: ImageSource) -> Iterator[bytes]:
    for start in range(0, len(images), AT_ONCE):
        batch = images[torch.arange(start, min(start + AT_ONCE, len(images)))]
        for image in batch.detach().cpu().contiguous().numpy():
            yield hashlib.sha256(image.tobytes()).digest()


def _length(path: Path) -> int:
    return path.stat().st_size


def _file_digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _names(part: ImageSet) -> tuple[str, ...]:
    paths: Sequence[Path] = part.images.paths if isinstance(part.images, ImageFiles) else ()
    return tuple(printable(path.name) for path in paths)
