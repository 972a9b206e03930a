"""Weights from anyone: headers that lie are refused before a tensor is made."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from valid_files import weights

from hashbench.errors import BadInput
from hashbench.readers.weight_files import read_metadata, read_weights

GOOD = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}


def file(path: Path, header: object, data: bytes = bytes(24), length: int | None = None) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(BadInput) as caught:
        read_weights(path)
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) < 500
    return message


def test_tensors_are_those_that_were_saved(tmp_path: Path) -> None:
    given = weights() | {
        "half": torch.ones(2, dtype=torch.float16),
        "none": torch.zeros(0, 3),
        "one": torch.tensor(True),
    }
    safetensors.torch.save_file(given, tmp_path / "a.safetensors", {"format": "pt"})
    found = read_weights(tmp_path / "a.safetensors", inside=tmp_path)
    assert found.keys() == given.keys()
    for name, tensor in given.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)


@pytest.mark.parametrize(
    "change",
    [
        {"shape": [-2, -3]}, {"shape": [2, 4]}, {"shape": [1 << 62, 1 << 62]}, {"shape": [1] * 9 + [6]}, {"shape": 6},
        {"shape": [2.0, 3]}, {"shape": [True, 6]}, {"shape": None}, {"dtype": "F8_E4M3"}, {"dtype": "O"}, {"dtype": 4},
        {"dtype": "\u202e"}, {"data_offsets": [0, 25]}, {"data_offsets": [-24, 0]}, {"data_offsets": [24, 0]},
        {"data_offsets": [1, 25]}, {"data_offsets": [0]}, {"data_offsets": [0, 12, 24]}, {"data_offsets": "ab"},
        {"more": 1},
        {"shape": [6 * 10**12], "data_offsets": [0, 24 * 10**12]},
    ],
)  # fmt: skip
def test_tensors_that_lie_are_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    refusal(file(tmp_path / "a.safetensors", {"a": GOOD | change}))


@pytest.mark.parametrize(
    "header", [b"", b"{", b"[]", b"1", b'"a"', b"[" * 5000, b'{"a":' * 5000, b'{"a": NaN}', b"\xff", b"{}\0"]
)
def test_headers_that_are_none_are_refused(tmp_path: Path, header: bytes) -> None:
    refusal(file(tmp_path / "a.safetensors", header))


@pytest.mark.parametrize("name", ["", "x" * 5000, "a\nvalid: b", "\u202e", "\x1b[2J"])
def test_odd_names_are_refused(tmp_path: Path, name: str) -> None:
    refusal(file(tmp_path / "a.safetensors", {name: GOOD}))


def test_tensors_do_not_overlap_or_leave_gaps(tmp_path: Path) -> None:
    for second, data in (([0, 24], 24), ([12, 36], 36), ([25, 49], 49), ([24, 48], 49), ([24, 48], 47)):
        header = {"a": GOOD, "b": GOOD | {"data_offsets": second}}
        assert "overlap" in refusal(file(tmp_path / "a.safetensors", header, bytes(data)))


def test_two_tensors_of_one_name_are_refused(tmp_path: Path) -> None:
    one = json.dumps(GOOD)
    assert "twice" in refusal(file(tmp_path / "a.safetensors", f'{{"a": {one}, "a": {one}}}'.encode()))


@pytest.mark.parametrize("length", [0, 5, 1 << 20, (1 << 63) - 1, (1 << 64) - 1])
def test_lengths_that_lie_are_refused(tmp_path: Path, length: int) -> None:
    refusal(file(tmp_path / "a.safetensors", {"a": GOOD}, length=length))


@pytest.mark.parametrize("start", [b"", b"short", (1 << 40).to_bytes(8, "little") + b"{}"])
def test_metadata_of_a_file_that_is_none_is_refused(tmp_path: Path, start: bytes) -> None:
    (tmp_path / "a.safetensors").write_bytes(start)
    with pytest.raises(BadInput, match="not an intact safetensors file"):
        read_metadata(tmp_path / "a.safetensors")


def test_metadata_is_text(tmp_path: Path) -> None:
    assert read_weights(file(tmp_path / "a", {"__metadata__": {"format": "pt"}, "a": GOOD}))["a"].shape == (2, 3)
    wrong: list[object] = [[], {"format": 1}, {"format": {"a": "b"}}, "pt"]
    for odd in wrong:
        assert "__metadata__" in refusal(file(tmp_path / "a", {"__metadata__": odd, "a": GOOD}))


def test_sizes_are_limited_and_pipes_do_not_wait(tmp_path: Path) -> None:
    path = file(tmp_path / "a.safetensors", {"a": GOOD})
    with pytest.raises(BadInput, match="larger than"):
        read_weights(path, limit=50)
    (tmp_path / "link").symlink_to(path)
    with pytest.raises(BadInput, match="link"):
        read_weights(tmp_path / "link", inside=tmp_path)
    os.mkfifo(tmp_path / "pipe")
    assert "pipe" in refusal(tmp_path / "pipe")
    torch.save(weights(), tmp_path / "a.pt")
    assert "not an intact safetensors" in refusal(tmp_path / "a.pt")
