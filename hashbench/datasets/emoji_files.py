"""Emoji of 64x64 pixels as Google and as Twitter draw them, from two packages of the npm registry."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray

from hashbench.digests import DATA_VARIABLE
from hashbench.errors import BadInput, BadParameter, MissingData
from hashbench.readers.image_reader import read_with_transparency
from hashbench.readers.json_files import read_json
from hashbench.readers.records import Limits, check
from hashbench.readers.text import shown

Style = Literal["both", "google", "twitter", "shift"]
Vendor = Literal["google", "twitter"]
VENDORS: tuple[Vendor, Vendor] = ("google", "twitter")
VERSION = "16.0.0"
SIDE = 64  # pixels of an emoji
LARGEST = 1 << 21  # bytes of emoji.json, which has 1.3 million
LARGEST_PICTURE = 1 << 18
# Of eight emoji of a subcategory, how many go to each role.
EIGHTHS = {"queries": 1, "validation": 1, "database": 2, "train": 4}
STYLES: dict[str, tuple[Vendor, ...]] = {"both": VENDORS, "google": ("google",), "twitter": ("twitter",)}

Bytes = NDArray[np.uint8]
Positions = NDArray[np.int64]


@dataclass(frozen=True)
class Emoji:
    """Emoji of which no two are drawn alike, each in one subcategory and in one role.

    Attributes:
        subcategories: their names; a label is a position in them.
        labels: the subcategory of each emoji [emoji].
        pictures: by vendor, red, green, blue and opacity [emoji, 64, 64, 4].
        roles: by role, positions of its emoji.
    """

    subcategories: list[str]
    labels: Positions
    pictures: dict[Vendor, Bytes]
    roles: dict[str, Positions]


def read_emoji(root: Path | None, smallest: int) -> Emoji:
    """The emoji of all subcategories that have at least `smallest`, split into roles with a fixed seed.

    Of emoji that a vendor draws alike, such as the flags of France and of Saint Martin, the first is taken.

    Raises:
        MissingData: a package or one of its files is missing; the message says how to get them.
        BadInput: a file is damaged or of another version.
        BadParameter: no subcategory has so many, or four, one for each role.
    """
    folders = _folders(root)
    listed = _listed(folders["google"])
    pictures = {vendor: _pictures(folders[vendor], vendor, [image for image, _ in listed]) for vendor in VENDORS}
    kept = _drawn_once(pictures)
    names = np.array([listed[row][1] for row in kept])
    found, sizes = np.unique(names, return_counts=True)
    least = max(smallest, len(EIGHTHS))  # one for each role
    subcategories = found[sizes >= least]
    if not len(subcategories):
        raise BadParameter(
            f"smallest={smallest}: no subcategory has {least} emoji; take a smaller number, of at least 4"
        )
    chosen = np.flatnonzero(np.isin(names, subcategories))
    labels = np.searchsorted(subcategories, names[chosen])
    rows = np.array(kept)[chosen]
    return Emoji(
        [str(name) for name in subcategories],
        labels,
        {vendor: drawn[rows] for vendor, drawn in pictures.items()},
        draw_roles(labels),
    )


def draw_roles(labels: Positions) -> dict[str, Positions]:
    """Positions of the emoji of each role: eighths of each subcategory, at least one."""
    random = np.random.RandomState(0)
    found: dict[str, list[Positions]] = {role: [] for role in EIGHTHS}
    for label in np.unique(labels):
        members = random.permutation(np.flatnonzero(labels == label))
        start = 0
        for role, eighths in EIGHTHS.items():
            end = len(members) if role == "train" else start + max(1, len(members) * eighths // 8)
            found[role].append(members[start:end])
            start = end
    return {role: random.permutation(np.concatenate(parts)) for role, parts in found.items()}


def vendors_of(style: Style, role: str) -> tuple[Vendor, ...]:
    """The vendors whose drawings a role shows.

    Under `shift`, queries of both kinds are Twitter's; what is trained on and what is searched is Google's.

    >>> vendors_of("shift", "queries"), vendors_of("both", "queries")
    (('twitter',), ('google', 'twitter'))
    """
    if style == "shift":
        return ("twitter",) if role in ("queries", "validation") else ("google",)
    return STYLES[style]


@dataclass(frozen=True)
class Layers:
    """Pictures with their transparency at a smaller size, in whole numbers, so that no machine rounds otherwise.

    Attributes:
        colours: sums of colour times opacity [pictures, 3, size, size].
        opacity: sums of opacity [pictures, 1, size, size].
        opaque: the sum that stands for no transparency.
    """

    colours: NDArray[np.int32]
    opacity: NDArray[np.int32]
    opaque: int

    def over(self, background: Bytes, picture: int | slice) -> Bytes:
        """Pictures in front of a background [..., 3, size, size] of bytes."""
        seen = background * (self.opaque - self.opacity[picture]) + self.colours[picture]
        return ((seen + self.opaque // 2) // self.opaque).astype(np.uint8)


def layers(pictures: Bytes, size: int) -> Layers:
    """Pictures [n, side, side, 4] averaged down to size x size pixels; their side is a multiple of it."""
    values = pictures.astype(np.int32).transpose(0, 3, 1, 2)
    colours, opacity = values[:, :3] * values[:, 3:], values[:, 3:]
    factor = pictures.shape[1] // size
    return Layers(block_sums(colours, factor), block_sums(opacity, factor), 255 * factor * factor)


def block_sums(values: NDArray[np.int32], factor: int) -> NDArray[np.int32]:
    """Sums over blocks of factor x factor values of the last two axes.

    >>> block_sums(np.arange(4, dtype=np.int32).reshape(2, 2), 2).tolist()
    [[6]]
    """
    *first, height, width = values.shape
    blocks = values.reshape(*first, height // factor, factor, width // factor, factor)
    return np.asarray(blocks.sum((-3, -1), dtype=np.int32))


def _folders(root: Path | None) -> dict[Vendor, Path]:
    packages = " ".join(f"{package(vendor)}@{VERSION}" for vendor in VENDORS)
    if root is None and (data := os.environ.get(DATA_VARIABLE)):
        root = Path(data).expanduser() / "emoji"
    if root is None:
        raise MissingData(
            f"emoji needs a folder: npm install --prefix DIR {packages}, then emoji:root=DIR, or the folder emoji in "
            f"${DATA_VARIABLE}"
        )
    inner = root / "node_modules"
    home = inner if inner.is_dir() else root
    found = {vendor: home / package(vendor) for vendor in VENDORS}
    for vendor, folder in found.items():
        if not folder.is_dir():
            raise MissingData(f"there is no {folder}; get it with npm install --prefix {root} {packages}")
        _check_version(folder, vendor)
    return found


def package(vendor: Vendor) -> str:
    """The name of a vendor's package, which is also that of its folder."""
    return f"emoji-datasource-{vendor}"


def _check_version(folder: Path, vendor: Vendor) -> None:
    again = f"get it with npm install {package(vendor)}@{VERSION}"
    about = folder / "package.json"
    if not about.is_file():
        raise MissingData(f"there is no {about}; {again}")
    content = read_json(about)
    version = content.get("version") if isinstance(content, dict) else None
    if version != VERSION:
        raise BadInput(f"{about} is of version {shown(version)}, not {VERSION}; {again}")


def _listed(folder: Path) -> list[tuple[str, str]]:
    """File name and subcategory of each emoji that both vendors draw, in the order of the list."""
    path = folder / "emoji.json"
    if not path.is_file():
        raise MissingData(f"there is no {path}; get it with npm install {folder.name}@{VERSION}")
    content = check(read_json(path, limit=LARGEST), list[dict[str, Any]], str(path), "emoji")
    found = []
    for number, item in enumerate(content):
        if not all(item.get(f"has_img_{vendor}") for vendor in VENDORS):
            continue
        image, name = (
            check(item.get(key), Annotated[str, Limits(1, 200)], str(path), f"{number}.{key}")
            for key in ("image", "subcategory")
        )
        if Path(image).name != image:
            raise BadInput(f"{path}, {number}.image is {shown(image)}, not the name of a file; fetch the package again")
        found.append((image, name))
    return found


def _pictures(folder: Path, vendor: Vendor, images: Sequence[str]) -> Bytes:
    found = np.zeros((len(images), SIDE, SIDE, 4), np.uint8)
    for place, image in enumerate(images):
        path = folder / "img" / vendor / str(SIDE) / image
        if not path.is_file():
            raise MissingData(f"there is no {path}; get it with npm install {package(vendor)}@{VERSION}")
        picture = read_with_transparency(path, limit=LARGEST_PICTURE)
        if picture.size != (SIDE, SIDE):
            raise BadInput(f"{path} has {picture.size[0]} x {picture.size[1]} pixels, not {SIDE} x {SIDE}")
        found[place] = np.asarray(picture)
    return found


def _drawn_once(pictures: dict[Vendor, Bytes]) -> list[int]:
    """Positions of the emoji that no vendor draws like an earlier one."""
    seen: set[tuple[Vendor, bytes]] = set()
    kept = []
    for row in range(len(pictures["google"])):
        looks: set[tuple[Vendor, bytes]] = set()
        for vendor in VENDORS:
            drawn = pictures[vendor][row]
            seen_part = np.where(drawn[..., 3:] > 0, drawn, 0)  # colours that are transparent do not count
            looks.add((vendor, hashlib.sha256(seen_part.tobytes()).digest()))
        if not looks & seen:
            kept.append(row)
        seen |= looks
    return kept
