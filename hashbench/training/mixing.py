"""Batches whose images may be mixed with each other (CutMix), and losses of them weighted by area."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from torch import Tensor

from hashbench.registry.protocols import Method
from hashbench.training.adversarial import untouched
from hashbench.training.regularisers import Mix, mixed_batch
from hashbench.types import Codes, Images, Index, Labels, Scalar

Part = TypeVar("Part", bound=Tensor)


@dataclass(frozen=True)
class Batch:
    """Images of a step with their labels and positions in the training set, and how they were mixed, if they were."""

    images: Images
    labels: Labels
    index: Index
    mix: Mix | None = None

    @staticmethod
    def drawn(images: Images, labels: Labels, index: Index, cutmix: float) -> Batch:
        """A batch that is mixed with the probability `cutmix`, by `mixed_batch`."""
        mix = mixed_batch(images, cutmix)
        return Batch(images if mix is None else mix.images, labels, index, mix)

    def by_area(self, term: Callable[[Labels, Index], Part]) -> Part:
        """A term for the images' own labels; for mixed images, its mean over both labels, weighted by their areas."""
        own = term(self.labels, self.index)
        if self.mix is None:
            return own
        partner, share = self.mix.partner, self.mix.share
        return share * own + (1 - share) * term(self.labels[partner], self.index[partner])  # type: ignore[return-value]

    def hashing(self, method: Method, codes: Codes) -> Scalar:
        """A method's loss of the batch's relaxed codes [batch, bits].

        Mixed images are not those of the training set, so that their codes enter no memory of the method.
        """
        if self.mix is None:
            return method(codes, self.labels, self.index)

        def part(labels: Labels, index: Index) -> Scalar:
            with untouched(method):
                return method(codes, labels, index)

        return self.by_area(part)
