"""One valid file of each format that is read from anyone, what reads it, and small damages to it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from PIL import Image

from hashbench.readers.csv_tables import Column, read_table
from hashbench.readers.image_reader import decode
from hashbench.readers.json_files import read_record
from hashbench.readers.npz_files import read_array, read_arrays
from hashbench.readers.toml_files import read_suite_tables
from hashbench.readers.weight_files import read_weights


@dataclass(frozen=True)
class Measured:
    """A record of the form of a stored cell."""

    key: str
    identity: dict[str, Any]
    numbers: dict[str, float | str | None]
    host: dict[str, Any] = field(default_factory=dict)
    status: str = "valid"
    seeds: tuple[int, ...] = ()


MEASURED = Measured(
    "0123456789abcdef",
    {"dataset": "digits", "bits": 32, "eps": 8 / 255, "attack_params": {"steps": 10, "decay": 1.0}},
    {"map": 0.875, "k": 1000, "model_digest": "sha256-00", "t_map": None},
    {"seconds": 1.5},
    seeds=(0, 1),
)
COLUMNS = {
    "defense": Column(),
    "seed": Column(int, low=0),
    "map": Column(float, optional=True, low=0, high=1),
    "difference": Column(float),
    "chosen": Column(choices=("yes", "no")),
    "dirty": Column(bool),
}
TABLE = """defense,seed,map,difference,chosen,dirty
cgat,0,0.875,-0.5,yes,False
"saat:weight=1,steps=2",1,,1e-05,no,True
"""
SUITE = """title = "A look"  # a comment
paper = \"\"\"one\\u0020line\"\"\"

[[run]]
dataset = ["digits", 'digits-collage']
bits = [16, 32]
seed = [0, 1]
eps = "8/255"
defense = []
attack = "noise"
"""


def arrays() -> dict[str, np.ndarray[Any, Any]]:
    random = np.random.default_rng(0)
    return {
        "items": random.integers(0, 9, (20, 33)).astype(np.uint16),
        "codes": random.integers(0, 256, (20, 4), dtype=np.uint8),
        "linf": np.asfortranarray(random.random((5, 4)).astype(np.float32)),
        "known": random.random(20) > 0.5,
        "identity": np.array(json.dumps(MEASURED.identity)),
    }


def picture(mode: str = "RGB", size: tuple[int, int] = (40, 30)) -> Image.Image:
    random = np.random.default_rng(0)
    pixels = Image.fromarray(random.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))
    return pixels.convert(mode)


def saved(image: Image.Image, form: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def packed(compressed: bool = False) -> bytes:
    file = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(file, **arrays())  # type: ignore[arg-type]
    return file.getvalue()


def plain_array() -> bytes:
    file = io.BytesIO()
    np.save(file, arrays()["items"])
    return file.getvalue()


def weights() -> dict[str, torch.Tensor]:
    return {"conv.weight": torch.arange(24.0).reshape(2, 3, 4), "bias": torch.zeros(3, dtype=torch.int64)}


@dataclass(frozen=True)
class Form:
    """A format: the content of a valid file, and the function that reads a file of it."""

    content: bytes
    read: Callable[[Path], object]


def forms() -> Mapping[str, Form]:
    """All formats by name."""

    def small(path: Path) -> object:
        return decode(path, 16)

    return {
        "json": Form(json.dumps(asdict(MEASURED), indent=1).encode(), lambda path: read_record(path, Measured)),
        "npz": Form(packed(), read_arrays),
        "npz-deflate": Form(packed(compressed=True), read_arrays),
        "npy": Form(plain_array(), read_array),
        "csv": Form(TABLE.encode(), lambda path: read_table(path, COLUMNS)),
        "toml": Form(SUITE.encode(), read_suite_tables),
        "png": Form(saved(picture(), "PNG"), small),
        "png-palette": Form(saved(picture("P"), "PNG", transparency=bytes(range(9))), small),
        "jpeg": Form(saved(picture(), "JPEG"), small),
        "jpeg-progressive": Form(saved(picture(), "JPEG", progressive=True), small),
        "tiff": Form(saved(picture(), "TIFF"), small),
        "tiff-lzw": Form(saved(picture(), "TIFF", compression="tiff_lzw"), small),
        "gif": Form(saved(picture("P"), "GIF"), small),
        "webp": Form(saved(picture(), "WEBP"), small),
        "bmp": Form(saved(picture(), "BMP"), small),
        "safetensors": Form(safetensors.torch.save(weights()), read_weights),
    }


WORDS = (
    b"", b"\0", b"-1", b"1e999", b"NaN", b"9" * 40, b"true", b"null", b'"', b"'''", b'"""', b"\\", b"\n", b",",
    b"[" * 60, b"{" * 60, b"a." * 40, b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\xff\xda", b"\xe2\x80\xae",
    b"\x1b[2J", b"PK\x05\x06", b"'|O'", b"(999999999999,)", b"\xed\xa0\x80",
)  # fmt: skip


def damaged(content: bytes, random: np.random.Generator) -> bytes:
    """The content after one to three damages: bits flipped, parts cut, doubled, swapped or overwritten."""
    found = bytearray(content)
    for _ in range(1 + int(random.integers(0, 9)) // 4):
        place = int(random.integers(0, len(found) + 1))
        length = int(2 ** random.uniform(0, np.log2(len(found) + 2)))
        kind = int(random.integers(0, 7))
        if kind == 0 and found:
            found[place % len(found)] ^= 1 << int(random.integers(0, 8))
        elif kind == 1:
            del found[place : place + length]
        elif kind == 2:
            found[place:place] = found[place : place + length] * int(random.integers(1, 20))
        elif kind == 3:
            found[place : place + length] = bytes(found[place : place + length])[::-1]
        elif kind == 4:
            word = WORDS[int(random.integers(0, len(WORDS)))]
            found[place : place + (len(word) if random.random() < 0.7 else 0)] = word
        elif kind == 5:
            found[place : place + 4] = random.bytes(4)
        else:
            del found[place:]
    return bytes(found)
