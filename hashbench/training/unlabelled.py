"""Images of the database without their labels, for trainings whose parameter `unlabelled` says that they use them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import torch

from hashbench.errors import BadOutput
from hashbench.models.codes import encode
from hashbench.models.data import ImageSet, ImageSource
from hashbench.models.model import HashModel, binarize
from hashbench.types import BinaryCodes, Images

_images: ContextVar[ImageSource | None] = ContextVar("unlabelled images", default=None)


@contextmanager
def unlabelled_at_hand(images: ImageSource | None) -> Iterator[None]:
    """A block in which `unlabelled_images` returns these."""
    token = _images.set(images)
    try:
        yield
    finally:
        _images.reset(token)


def unlabelled_images() -> ImageSource:
    """The images of the database, in [0, 1], while a defense is trained that has its parameter `unlabelled` set.

    Raises:
        BadOutput: there are none: outside of a training, or without that parameter.

    >>> with unlabelled_at_hand(torch.zeros(5, 1, 8, 8)):
    ...     len(unlabelled_images())
    5
    """
    images = _images.get()
    if images is None:
        raise BadOutput("there are no images without labels here; set the defense's own parameter 'unlabelled'")
    return images


@dataclass(frozen=True)
class PseudoLabelled:
    """Images without labels and the codes [images, bits] that a model gave them, which stand for labels.

    Self-training of this kind closes much of the gap between clean and attacked accuracy (Carmon et al., NeurIPS 2019;
    Gowal et al., 2020).
    """

    images: ImageSource
    codes: BinaryCodes

    @staticmethod
    def by(model: HashModel) -> PseudoLabelled:
        """Those that are at hand, coded by a model.

        Raises:
            BadOutput: none are at hand.
        """
        images = unlabelled_images()
        return PseudoLabelled(images, binarize(encode(model, ImageSet(images, torch.zeros(len(images), 1)))))

    def drawn(self, count: int) -> tuple[Images, BinaryCodes]:
        """Some images and their codes, with replacement; random numbers are drawn from the global state."""
        rows = torch.randint(len(self.codes), (count,))
        return self.images[rows].to(self.codes.device), self.codes[rows.to(self.codes.device)]
