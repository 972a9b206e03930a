"""Images on disk, decoded when they are needed."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import final

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from hashbench.errors import BadInput
from hashbench.models.data import ImageSource
from hashbench.types import Images, Index

KEPT = 1 << 27  # bytes of pixels; a set that fits is decoded only once
THREADS = min(16, os.cpu_count() or 1)  # decoding and resizing release Python's global lock


@final
class ImageFiles:
    """A sequence of image files, read as colour images of size x size pixels in [0, 1].

    As published, the shorter side is resized to size * 256 / 224 (bilinear), then the center is cropped. Training
    images are not augmented. The decoded pixels of a small set stay in memory.
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
            BadInput: a file can't be decoded as an image.
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


def decode(path: Path, size: int) -> Tensor:
    """An image file as bytes [3, size, size].

    Raises:
        BadInput: it can't be decoded as an image.
    """
    try:
        with Image.open(path) as image:
            picture = image.convert("RGB")
    except (OSError, UnidentifiedImageError, ValueError, SyntaxError) as error:
        raise BadInput(f"{path} can't be decoded as an image ({str(error)[:60]}); fetch it again") from None
    width, height = picture.size
    shorter = round(size * 256 / 224)
    scaled = tuple(max(shorter, int(shorter * side / min(width, height))) for side in (width, height))
    picture = picture.resize((scaled[0], scaled[1]), Image.Resampling.BILINEAR)
    left, top = (round((side - size) / 2) for side in scaled)
    picture = picture.crop((left, top, left + size, top + size))
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1).contiguous()


def stream(source: ImageSource, batches: Sequence[Index], device: torch.device) -> Iterator[Images]:
    """The images of each batch, on a device; the next batch is decoded while the caller works on the current one."""
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
