"""Archives of arrays to be refused, and how a refusal must be."""

from __future__ import annotations

import io
import resource
import struct
import time
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hashbench.errors import BadInput
from hashbench.readers.npz_files import read_arrays

SEED_FILE = {"a": np.arange(12, dtype=np.int32).reshape(3, 4)}


def refusal(path: Path, *args: Any, **options: Any) -> str:
    start, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(BadInput) as caught:
        read_arrays(path, *args, **options)
    assert time.process_time() - start < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # kilobytes
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) < 500
    return message


def header(descr: str = "'<f4'", shape: str = "(2, 3)", fortran: str = "False") -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\0" + struct.pack("<H", len(text)) + text.encode("latin1")


def archive(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(path, "w", method) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


def edited(path: Path, edit: Callable[[bytearray, int, int], None], compressed: bool = False) -> Path:
    """A valid archive after an edit, which gets the bytes, and where the directory and its end start."""
    file = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(file, a=SEED_FILE["a"])
    content = bytearray(file.getvalue())
    edit(content, content.index(b"PK\x01\x02"), content.index(b"PK\x05\x06"))
    path.write_bytes(content)
    return path
