"""Images with labels, and the roles they play in a retrieval benchmark."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from hashbench.errors import BadInput
from hashbench.models.helpers import Keep, train_anew
from hashbench.models.model import HashModel
from hashbench.seeds import derive_seed
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
    """Images in [0, 1] of shape [n, channels, height, width], with multi-hot labels [n, classes]."""

    images: ImageSource
    labels: Labels

    def __len__(self) -> int:
        return len(self.labels)

    def batches(self, size: int) -> list[Index]:
        """The positions 0..n-1, cut into batches of `size`."""
        return list(torch.split(torch.arange(len(self)), size))

    def to(self, device: torch.device) -> ImageSet:
        """The same set with tensors on a device; a source that decodes images stays where it is."""
        images = self.images.to(device) if isinstance(self.images, Tensor) else self.images
        return ImageSet(images, self.labels.to(device))


@dataclass(frozen=True)
class RetrievalSplit:
    """A data set in its roles.

    Queries and validation queries are disjoint, and neither is ever trained on. Tuning uses the
    validation queries, no leaderboard does. `eps` is the budget that suits the images' size;
    `digest` identifies every image, label and role.
    """

    train: ImageSet
    queries: ImageSet
    validation: ImageSet
    database: ImageSet
    channels: int
    size: int
    eps: float
    digest: str

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
    *, train: ImageSet, queries: ImageSet, validation: ImageSet, database: ImageSet, eps: float
) -> RetrievalSplit:
    """A split that is held in memory, with the digest of its contents."""
    sets = (train, queries, validation, database)
    images = [role.images[torch.arange(len(role))] for role in sets]
    digest = hashlib.sha256()
    for tensor in (*images, *(role.labels for role in sets)):
        digest.update(str(tuple(tensor.shape)).encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    channels, size = images[0].shape[1], images[0].shape[2]
    return RetrievalSplit(*sets, channels, size, eps, digest.hexdigest()[:16])


@dataclass(frozen=True)
class Queries:
    """A batch of queries to attack.

    `index` holds their positions in the query set; with `seed` it makes their random numbers.
    `targets` holds the labels that a targeted attack shall make them retrieve; others get none.
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
        """Uniform numbers in [-1, 1) of the images' shape, to be made anew for each `stream`."""
        return 2 * self.draw(tuple(self.images.shape[1:]), stream) - 1

    def draw(self, shape: tuple[int, ...], stream: int = 0) -> Tensor:
        """Uniform numbers in [0, 1) of a shape for each query: [queries, *shape].

        Each query's numbers depend on the seed, its position and the stream alone, so that neither
        the batch size nor the device changes them.
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
    """What a deployed system keeps of its database: codes and labels, not images."""

    codes: BinaryCodes
    labels: Labels


@dataclass(frozen=True)
class Victim:
    """What an attacker is given.

    `keep` trains a helper of an attack, or takes it from the store; an attack that only sees codes
    gets a model without gradients and weights.
    """

    model: HashModel
    train: ImageSet
    gallery: Gallery
    keep: Keep = train_anew
