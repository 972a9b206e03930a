"""Images on a disk, decoded when they are asked for."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import final

import torch
from torch import Tensor

from hashbench.models.data import ImageSource
from hashbench.readers.image_reader import decode
from hashbench.types import Images, Index

KEPT = 1 << 27  # bytes of pixels; a set that needs no more is decoded only once
THREADS = min(16, os.cpu_count() or 1)  # decoding and resizing leave Python's lock


@final
class ImageFiles:
    """A sequence of image files, read as colour images of size x size pixels in [0, 1].

    As published, the shorter side is resized to size * 256 / 224 (bilinear), then the center is cut out.
    The training images are not augmented. Decoded pixels of a small set stay in memory.
    """

    def __init__(self, paths: Sequence[Path], size: int) -> None:
        self.paths, self.size = list(paths), size
        self.shape = (len(self.paths), 3, size, size)
        small = len(self.paths) * 3 * size * size <= KEPT
        self._kept: dict[int, Tensor] | None = {} if small else None

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: Index) -> Images:
        """The images [items, 3, size, size] at some positions.

        Raises:
            BadInput: a file is no image that can be decoded.
        """
        with ThreadPoolExecutor(THREADS) as pool:
            pixels = list(pool.map(self._pixels, index.tolist()))
        return torch.stack(pixels).float() / 255 if pixels else torch.zeros(0, *self.shape[1:])

    def _pixels(self, position: int) -> Tensor:
        if self._kept is None:
            return decode(self.paths[position], self.size)
        if position not in self._kept:
            self._kept[position] = decode(self.paths[position], self.size)
        return self._kept[position]


def stream(source: ImageSource, batches: Sequence[Index], device: torch.device) -> Iterator[Images]:
    """The images of each batch on a device; the next batch is decoded while the caller works on one."""
    if isinstance(source, Tensor):
        for index in batches:
            yield source[index.to(source.device)].to(device)
        return
    pinned = device.type == "cuda"

    def read(index: Index) -> Images:
        images = source[index]
        return images.pin_memory() if pinned else images

    with ThreadPoolExecutor(1) as reader:
        coming: deque[Future[Images]] = deque()
        for index in batches:
            coming.append(reader.submit(read, index))
            if len(coming) > 1:
                yield coming.popleft().result().to(device, non_blocking=pinned)
        while coming:
            yield coming.popleft().result().to(device, non_blocking=pinned)
