"""Images and stores that try to stop a command."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from command import Command
from PIL import Image
from small_files import write_lists


def png(width: int, height: int) -> bytes:
    """A PNG whose header claims a size, with hardly any data."""
    head = struct.pack(">2L5B", width, height, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(bytes(100))), (b"IEND", b"")]
    body = [struct.pack(">L", len(c)) + kind + c + struct.pack(">L", zlib.crc32(kind + c)) for kind, c in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


def floats() -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).random((20, 20), dtype=np.float32)).save(file, "TIFF")
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (png(20_000, 20_000), "claims more than 50,000,000 pixels"),
        (png(1, 30_000), "one side more than"),
        (floats(), "whose white is not known"),
        (b"", "can't be decoded as an image"),
        (png(20, 20)[:60], "can't be decoded as an image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "can't be decoded as an image"),
    ],
    ids=["400-million", "1x30000", "float-tiff", "empty", "cut-short", "eps"],
)
def test_an_image_that_can_t_be_read_ends_a_run_with_one_line(content: bytes, message: str, command: Command) -> None:
    Path("data").mkdir()
    write_lists(Path("data"), classes=3)
    Path("data/a.bmp").write_bytes(content)
    outcome = command("run", "--dataset", "lists:root=data,size=8", "--training", "epochs=1")
    assert outcome.code == 2, outcome
    assert outcome.err.splitlines()[-1].startswith("error: ")
    assert "Traceback" not in outcome.err
    assert message in outcome.err


def test_a_store_with_nests_pipes_and_links_is_one_line(command: Command) -> None:
    for number, kind in enumerate(("nested", "pipe", "endless")):
        folder = Path("runs/cells") / str(number)
        folder.mkdir(parents=True)
        if kind == "nested":
            (folder / "cell.json").write_text("[" * 100_000)
        elif kind == "pipe":
            os.mkfifo(folder / "cell.json")
        else:
            (folder / "cell.json").symlink_to("/dev/zero")
    outcome = command("report")
    assert outcome.code == 2
    assert outcome.err == "error: runs holds no results yet; make some with 'hashbench run'\n"
