"""Small files in the layouts of data sets that have to be fetched."""

from __future__ import annotations

import gzip
import json
import pickle
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from hashbench.datasets.emoji_files import VENDORS, VERSION, package
from hashbench.datasets.fashion_mnist import FILES

LINES = {"database": ["a", "b", "c", "d", "a"], "train": ["a", "b"], "test": ["q", "r"]}


def write_fashion(root: Path, packed: bool, number: int = 30) -> None:
    """The four files of Fashion-MNIST, with random pixels and classes."""
    random = np.random.default_rng(0)
    for part in FILES.values():
        pixels = random.integers(0, 256, (number, 28, 28), dtype=np.uint8)
        classes = random.integers(0, 10, number, dtype=np.uint8)
        for name, array in zip(part, (pixels, classes), strict=True):
            header = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
            content = header + array.tobytes()
            path = root / (f"{name}.gz" if packed else name)
            path.write_bytes(gzip.compress(content, mtime=0) if packed else content)


def write_cifar10(root: Path, number: int = 50) -> None:
    """The six batches of CIFAR-10 with `number` random images each, a tenth of each class; checksums are wrong."""
    random = np.random.default_rng(0)
    folder = root / "cifar-10-batches-py"
    folder.mkdir()
    for name in [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]:
        data = random.integers(0, 256, (number, 3072), dtype=np.uint8)
        (folder / name).write_bytes(pickle.dumps({"data": data, "labels": list(range(10)) * (number // 10)}))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": list("abcdefghij")}))


def write_lists(root: Path, classes: int) -> None:
    """Six images and six list files; images are not compressed, so that their lengths are those of any Pillow."""
    random = np.random.RandomState(0)
    for name in "abcdqr":
        Image.fromarray(random.randint(0, 256, (30, 40, 3), dtype=np.uint8)).save(root / f"{name}.bmp")
    for role, names in LINES.items():
        rows = random.randint(0, 2, (len(names), classes))
        (root / f"{role}_img.txt").write_text("".join(f"{name}.bmp\n" for name in names))
        (root / f"{role}_label.txt").write_text("".join(" ".join(map(str, row)) + "\n" for row in rows))


def write_emoji(root: Path, subcategories: int = 3, of_each: int = 8) -> None:
    """Both packages of emoji: shapes that say the subcategory, in colours that say which of its emoji, see-through."""
    random = np.random.RandomState(0)
    listed = [
        {
            "image": f"{kind}-{number}.png",
            "subcategory": f"kind-{kind}",
            "has_img_google": True,
            "has_img_twitter": True,
        }
        for kind in range(subcategories)
        for number in range(of_each)
    ]
    for vendor in VENDORS:
        folder = root / package(vendor)
        images = folder / "img" / vendor / "64"
        images.mkdir(parents=True)
        (folder / "package.json").write_text(json.dumps({"name": package(vendor), "version": VERSION}))
        (folder / "emoji.json").write_text(json.dumps(listed))
        for item in listed:
            picture = Image.new("RGBA", (64, 64))
            corners = int(str(item["subcategory"]).rpartition("-")[2]) + 3
            colour = (*random.randint(0, 256, 3).tolist(), 255 if vendor == "google" else 200)
            ImageDraw.Draw(picture).regular_polygon((32, 32, 28), corners, fill=colour)
            picture.save(images / str(item["image"]))
