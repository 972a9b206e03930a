"""Decoding images when they are asked for."""

from __future__ import annotations

from pathlib import Path
from threading import Event

import numpy as np
import pytest
import torch
from PIL import Image
from second_device import GPU, second_device
from torch import Tensor
from torchvision import transforms

from hashbench.models import image_files
from hashbench.models.image_files import ImageFiles, stream
from hashbench.readers.image_reader import decode
from hashbench.types import Images, Index


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    random = np.random.RandomState(0)
    shapes = [(300, 400, 3), (500, 281, 3), (256, 256), (100, 90, 3), (333, 251, 4)]
    paths = [tmp_path / f"{number}.png" for number in range(len(shapes))]
    for path, shape in zip(paths, shapes, strict=True):
        Image.fromarray(random.randint(0, 256, shape, dtype=np.uint8)).save(path)
    return paths


def test_pixels_equal_those_of_the_published_transform(pictures: list[Path]) -> None:
    published = transforms.Compose([transforms.Resize(256), transforms.CenterCrop(224), transforms.ToTensor()])
    images = ImageFiles(pictures, 224)[torch.arange(5)]
    for image, path in zip(images, pictures, strict=True):
        assert torch.equal(image, published(Image.open(path).convert("RGB")))


@pytest.mark.parametrize("kept", [0, 1 << 27])
def test_a_set_gives_the_same_pixels_again_in_any_order(
    pictures: list[Path], kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_files, "KEPT", kept)
    images = ImageFiles(pictures, 32)
    whole = images[torch.arange(5)]
    assert torch.equal(images[torch.tensor([4, 0, 4])], whole[[4, 0, 4]])
    assert images.shape == (5, 3, 32, 32)
    assert len(images) == 5


def test_a_small_set_is_decoded_once(pictures: list[Path]) -> None:
    images = ImageFiles(pictures, 32)
    first = images[torch.arange(2)]
    pictures[0].unlink()
    assert torch.equal(images[torch.arange(2)], first)


@pytest.mark.parametrize("size", [8, 32, 224])
def test_narrow_pictures_fill_the_square(tmp_path: Path, size: int) -> None:
    Image.new("RGB", (3, 700), "red").save(tmp_path / "narrow.png")
    assert torch.equal(decode(tmp_path / "narrow.png", size)[0], torch.full((size, size), 255, dtype=torch.uint8))


def test_a_stream_gives_each_batch_in_order(pictures: list[Path]) -> None:
    images = ImageFiles(pictures, 16)
    whole = images[torch.arange(5)]
    batches = [torch.tensor([3, 1]), torch.tensor([0]), torch.tensor([4, 2])]
    for source in (images, whole):
        found = list(stream(source, batches, torch.device("cpu")))
        assert len(found) == 3
        assert all(torch.equal(batch, whole[index]) for batch, index in zip(found, batches, strict=True))
    assert list(stream(images, [], torch.device("cpu"))) == []


class Watched:
    """Images on a disk; `decoded` is set once the batch that begins with image 1 was read."""

    shape = (4, 3, 2, 2)

    def __init__(self) -> None:
        self.decoded = Event()

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Index) -> Images:
        if index[0] == 1:
            self.decoded.set()
        return index.float()[:, None, None, None].expand(len(index), 3, 2, 2).clone()


def test_the_next_batch_is_decoded_while_the_caller_works() -> None:
    source = Watched()
    coming = stream(source, torch.split(torch.arange(4), 1), torch.device("cpu"))
    assert next(coming).mean() == 0
    assert source.decoded.wait(10), "nothing was read ahead"
    assert [int(batch.mean()) for batch in coming] == [1, 2, 3]


def test_batches_for_a_gpu_are_pinned_and_no_others() -> None:
    pinned: list[list[float]] = []

    def pin(images: Tensor) -> Tensor:
        pinned.append(images[:, 0, 0, 0].tolist())
        return images

    batches = torch.split(torch.arange(4), 2)
    with second_device() as device, pytest.MonkeyPatch.context() as patch:
        patch.setattr(Tensor, "pin_memory", pin)
        assert all(batch.is_cuda for batch in stream(Watched(), batches, GPU))
        assert pinned == [[0, 1], [2, 3]]
        assert not device.waits
        assert not any(batch.is_cuda for batch in stream(Watched(), batches, torch.device("cpu")))
    assert len(pinned) == 2
