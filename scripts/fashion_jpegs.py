"""Make a folder in the field's format from real Fashion-MNIST images: JPEGs and the six list files.

Example: python scripts/fashion_jpegs.py DIR --images 200 --lines 20000
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from hashbench.datasets.fashion_mnist import fashion_mnist

GROUPS = {10: (0, 2, 4, 6), 11: (5, 7, 9), 12: (1, 3)}  # tops, shoes, trousers and dresses: a second label


def make_folder(folder: Path, images: int, lines: int) -> Path:
    """Write `images` JPEGs, a quarter of them queries, and lists with `lines` database lines, which repeat if need be.

    The first two thirds of the database images are the training images. Each image has its class and the
    group of its class as labels; a bag has no group.
    """
    queries = images // 4
    split = fashion_mnist(train=1, database=images - queries, queries=queries, validation=1)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    names: dict[str, list[str]] = {}
    rows: dict[str, list[str]] = {}
    for role, part in (("database", split.database), ("test", split.queries)):
        pixels = (part.images[np.arange(len(part))] * 255).byte().numpy()
        names[role] = [f"images/{role}{number}.jpg" for number in range(len(part))]
        rows[role] = [label_row(int(row.argmax())) for row in part.labels]
        for name, picture in zip(names[role], pixels, strict=True):
            Image.fromarray(picture[0]).resize((64, 64)).save(folder / name, quality=90)
    trained = 2 * len(names["database"]) // 3
    names["train"], rows["train"] = names["database"][:trained], rows["database"][:trained]
    again = -(-lines // len(names["database"]))
    names["database"], rows["database"] = (part * again for part in (names["database"], rows["database"]))
    for role in names:
        (folder / f"{role}_img.txt").write_text("".join(f"{name}\n" for name in names[role][:lines]))
        (folder / f"{role}_label.txt").write_text("".join(f"{row}\n" for row in rows[role][:lines]))
    return folder


def label_row(number: int) -> str:
    """A class as a line of a label file."""
    row = [int(column == number) for column in range(10)]
    row += [int(number in members) for members in GROUPS.values()]
    return " ".join(map(str, row))


def main() -> None:
    """Read the command line and write the folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--lines", type=int, help="lines of the database list; more than images repeat them")
    given = parser.parse_args()
    make_folder(given.folder, given.images, given.lines or given.images - given.images // 4)


if __name__ == "__main__":
    main()
