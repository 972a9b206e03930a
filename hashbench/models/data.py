"""Images with labels, and the roles they play in a retrieval benchmark."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from torch import Tensor

from hashbench.errors import BadInput, BadParameter
from hashbench.models.arrays import Number, budget_of, images_of, labels_of
from hashbench.models.helpers import Keep, train_anew
from hashbench.models.model import HashModel
from hashbench.seeds import derive_seed
from hashbench.threat import Threat, default_eps
from hashbench.types import BinaryCodes, Images, Index, Labels


@runtime_checkable
class ImageSource(Protocol):
    """What images are drawn from: a tensor, or anything that decodes them when asked."""

    @property
    def shape(self) -> Sequence[int]:
        """Images, channels, height, width."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: Any, /) -> Tensor: ...


@dataclass(frozen=True)
class ImageSet:
    """Images in [0, 1] of shape [n, channels, height, width], with multi-hot labels [n, classes].

    >>> images = ImageSet(torch.rand(5, 1, 8, 8), torch.eye(5))
    >>> len(images), [batch.tolist() for batch in images.batches(3)]
    (5, [[0, 1, 2], [3, 4]])
    """

    images: ImageSource
    labels: Labels

    def __len__(self) -> int:
        return len(self.labels)

    def batches(self, size: int) -> list[Index]:
        """The positions 0..n-1, split into batches of at most `size`."""
        return list(torch.split(torch.arange(len(self)), size))

    def to(self, device: torch.device) -> ImageSet:
        """The same set with its tensors on a device; a source that decodes images is left as it is."""
        images = self.images.to(device) if isinstance(self.images, Tensor) else self.images
        return ImageSet(images, self.labels.to(device))

    def copied(self) -> ImageSet:
        """The same set with tensors of its own; a source that decodes images is left as it is."""
        images = self.images.clone() if isinstance(self.images, Tensor) else self.images
        return ImageSet(images, self.labels.clone())


QuerySet = Literal["queries", "validation", "study"]  # those of leaderboards, for choosing, for a study
Part = ImageSet | Sequence[Any]  # or a pair of images and labels, as arrays or tensors


@dataclass(frozen=True)
class RetrievalSplit:
    """A data set in its roles.

    Queries and validation queries are disjoint, and neither is ever trained on. Validation queries are used for
    tuning only, never for a leaderboard. `eps` is the default budget, which suits the images' size; `digest`
    identifies every image, label and role. `split_of_tensors` makes a split from tensors.

    >>> images = ImageSet(torch.zeros(2, 1, 8, 8), torch.eye(2))
    >>> split = RetrievalSplit(images, images, images, images, channels=1, size=8, eps=8 / 255, digest="of my data")
    >>> split.to(torch.device("cpu")).digest
    'of my data'
    """

    train: ImageSet
    queries: ImageSet
    validation: ImageSet
    database: ImageSet
    channels: int
    size: int
    eps: float
    digest: str

    def threat(self, norm: str = "linf", eps: float | None = None) -> Threat:
        """The threat of a norm, by default with what `default_eps` makes of the data set's own budget.

        Raises:
            BadParameter: eps is no budget of the norm, or a patch is larger than the images.
        """
        own = default_eps(norm, self.eps, self.channels * self.size**2)
        threat = Threat(own if eps is None else eps, norm)
        if threat.side > self.size:
            raise BadParameter(f"a patch of {threat.side} pixels is larger than the images; give {self.size} at most")
        return threat

    def training_threat(self, threat: Threat) -> Threat:
        """What trainings defend against on the board of a threat: the same, or for a patch the own l-inf threat."""
        return self.threat() if threat.side else threat

    def to(self, device: torch.device) -> RetrievalSplit:
        """The same split with its tensors on a device."""
        return replace(
            self,
            train=self.train.to(device),
            queries=self.queries.to(device),
            validation=self.validation.to(device),
            database=self.database.to(device),
        )


def split_of_tensors(
    *, queries: Part, database: Part, eps: Number, train: Part | None = None, validation: Part | None = None
) -> RetrievalSplit:
    """A split that is held in memory, with the digest of its contents.

    Each part is an `ImageSet`, or a pair of images and labels, as arrays or tensors: images [n, channels, height,
    width] of floats in [0, 1] or of bytes, labels [n] of class numbers or [n, classes] of 0 and 1. Whatever
    their type, they become 32-bit floats of the split's own: later changes of what was given do not make its digest
    false. Images that are decoded when asked are taken as they come.

    Args:
        queries: what leaderboards are measured on.
        database: what is searched.
        eps: the default budget, in [0, 1] pixel units.
        train: what models are trained on, and what an attacker may train helpers on; the database by default.
        validation: the queries that tuning is measured on; none by default, and then nothing can be tuned.

    Raises:
        BadInput: a part is not of that form, the images are not all squares of one size, roles differ in their
            classes, or eps is no number.

    >>> part = ImageSet(torch.zeros(2, 1, 8, 8), torch.eye(2))
    >>> split = split_of_tensors(train=part, queries=part, validation=part, database=part, eps=8 / 255)
    >>> split.channels, split.size, len(split.digest)
    (1, 8, 16)
    >>> split_of_tensors(queries=(torch.rand(2, 1, 8, 8), [0, 1]), database=(torch.rand(5, 1, 8, 8), [0, 1, 2, 0, 1]),
    ...                  eps=8 / 255).queries.labels
    tensor([[1., 0., 0.],
            [0., 1., 0.]])
    """
    budget = budget_of(eps)
    given = {"train": train, "queries": queries, "validation": validation, "database": database}
    found = _image_sets({role: part for role, part in given.items() if part is not None})
    nothing = ImageSet(found["queries"].images[torch.arange(0)], found["queries"].labels[:0])
    sets = (
        found.get("train", found["database"]),
        found["queries"],
        found.get("validation", nothing),
        found["database"],
    )
    shapes = {tuple(role.images[torch.arange(min(1, len(role)))].shape[1:]) for role in sets}
    if len(shapes) > 1 or any(shape[-1] != shape[-2] for shape in shapes):
        seen = ", ".join("x".join(map(str, shape)) for shape in sorted(shapes))
        raise BadInput(f"images of a data set have {seen} values; make all of them squares of one size")
    ((channels, size, _),) = shapes
    digest = hashlib.sha256()
    for tensor in itertools.chain((role.images[torch.arange(len(role))] for role in sets), (r.labels for r in sets)):
        digest.update(str(tuple(tensor.shape)).encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return RetrievalSplit(*sets, channels, size, budget, digest.hexdigest()[:16])


def _image_sets(given: Mapping[str, Part]) -> dict[str, ImageSet]:
    """The parts as sets of images and labels of the one form, in memory of their own."""
    parts = {role: _pair(part, role) for role, part in given.items()}
    images = {role: _source(part[0], role, given[role]) for role, part in parts.items()}
    labels = labels_of({role: (part[1], len(images[role])) for role, part in parts.items()})
    shapes = {role: tuple(source.shape[1:]) for role, source in images.items()}
    for role, shape in shapes.items():
        if not isinstance(given[role], ImageSet) and shape != shapes["queries"]:
            raise BadInput(f"the images of {role} are {list(shape)}, those of queries {list(shapes['queries'])}")
    return {role: ImageSet(images[role], labels[role]) for role in given}


def _pair(part: Any, role: str) -> tuple[Any, Any]:
    if isinstance(part, ImageSet):
        return part.images, part.labels
    if not isinstance(part, tuple | list) or len(part) != 2:
        raise BadInput(f"{role} is a {type(part).__name__}; give an ImageSet or a pair: (images, labels)")
    return part[0], part[1]


def _source(images: Any, role: str, part: Part) -> ImageSource:
    """The images of a part; those of an `ImageSet` may be decoded when asked, or none at all."""
    if isinstance(part, ImageSet) and not (isinstance(images, Tensor) and images.numel()):
        return part.images
    return images_of(images, role)


@dataclass(frozen=True)
class Queries:
    """A batch of queries to attack.

    `index` holds their positions in the query set; together with `seed` it determines their random numbers.
    `targets` holds the labels that a targeted attack should make them retrieve; it is None for other attacks.

    >>> queries = Queries(torch.rand(4, 1, 8, 8), torch.eye(4), torch.arange(4), seed=3)
    >>> torch.equal(queries.random()[2:], queries.take(torch.tensor([2, 3])).random())
    True
    """

    images: Images
    labels: Labels
    index: Index
    seed: int = 0
    targets: Labels | None = None

    @property
    def wanted(self) -> Labels:
        """The target labels, for attacks that need them.

        Raises:
            BadInput: the queries have none.
        """
        if self.targets is None:
            raise BadInput("these queries have no targets; a targeted attack needs Queries(..., targets=labels)")
        return self.targets

    def random(self, stream: int = 0) -> Images:
        """Uniform random numbers in [-1, 1) of the images' shape; other ones for each `stream`."""
        return 2 * self.draw(tuple(self.images.shape[1:]), stream) - 1

    def draw(self, shape: tuple[int, ...], stream: int = 0) -> Tensor:
        """Uniform random numbers in [0, 1) for each query, [queries, ...] with the given shape after it.

        A query's numbers depend only on the seed, its position and the stream, so that neither the batch size nor the
        device changes them.
        """
        generator = torch.Generator()
        rows = []
        for position in self.index.tolist():
            generator.manual_seed(derive_seed(self.seed, position, stream))
            rows.append(torch.rand(shape, generator=generator))
        return torch.stack(rows).to(self.images.device)

    def take(self, rows: Index) -> Queries:
        """Some of the queries, by their positions in this batch."""
        targets = None if self.targets is None else self.targets[rows]
        return Queries(self.images[rows], self.labels[rows], self.index[rows], self.seed, targets)


@dataclass(frozen=True)
class Gallery:
    """What a deployed system stores of its database: codes and labels, not images.

    >>> gallery = Gallery(codes=torch.tensor([[1.0, -1.0], [-1.0, -1.0]]), labels=torch.eye(2))
    >>> gallery.codes.shape
    torch.Size([2, 2])
    """

    codes: BinaryCodes
    labels: Labels


@dataclass(frozen=True)
class Victim:
    """What an attacker is given.

    `keep` trains an attack's helper network, or takes it from the store. An attack that sees only codes gets a
    model without gradients or weights.

    >>> model = HashModel(torch.nn.Flatten(), bits=4)
    >>> train = ImageSet(torch.rand(3, 1, 2, 2), torch.eye(3))
    >>> victim = Victim(model, train, Gallery(torch.ones(3, 4), train.labels))
    >>> victim.model(train.images[torch.arange(2)]).shape
    torch.Size([2, 4])
    """

    model: HashModel
    train: ImageSet
    gallery: Gallery
    keep: Keep = train_anew
