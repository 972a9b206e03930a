"""The directory of an archive: what lies, is damaged or claims too much is refused before memory is taken."""

from __future__ import annotations

import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from npz_archives import archive, edited, header, refusal
from valid_files import packed

from hashbench.errors import BadInput
from hashbench.readers.npz_files import MEMBERS, read_array


@pytest.mark.parametrize("count", [MEMBERS + 1, 30_000])
def test_members_are_counted(tmp_path: Path, count: int) -> None:
    path = archive(tmp_path / "a.npz", {f"{number}.npy": b"" for number in range(count)})
    assert f"{count} members" in refusal(path)


@pytest.mark.parametrize(("method", "word"), [(zipfile.ZIP_BZIP2, "bzip2"), (zipfile.ZIP_LZMA, "LZMA")])
def test_other_compressions_are_refused(tmp_path: Path, method: int, word: str) -> None:
    assert word in refusal(archive(tmp_path / "a.npz", {"a.npy": header() + bytes(24)}, method))


@pytest.mark.parametrize("method", [1, 9, 77, 99, 65535])
def test_unknown_compressions_are_refused(tmp_path: Path, method: int) -> None:
    def edit(content: bytearray, directory: int, _: int) -> None:
        content[8:10] = content[directory + 10 : directory + 12] = struct.pack("<H", method)

    assert "packed by" in refusal(edited(tmp_path / "a.npz", edit))


@pytest.mark.parametrize("flag", [0x01, 0x41, 0x2000])
@pytest.mark.parametrize("place", ["both", "directory", "own"])
def test_encrypted_members_are_refused(tmp_path: Path, flag: int, place: str) -> None:
    def edit(content: bytearray, directory: int, _: int) -> None:
        if place != "directory":
            content[6:8] = struct.pack("<H", flag)
        if place != "own":
            content[directory + 8 : directory + 10] = struct.pack("<H", flag)

    message = refusal(edited(tmp_path / "a.npz", edit))
    assert "encrypted" in message or "contradicts" in message


@pytest.mark.parametrize("at", [20, 24, 42])
@pytest.mark.parametrize("value", [0, 1, 1 << 20, (1 << 31) - 1, (1 << 32) - 2, (1 << 32) - 1])
@pytest.mark.parametrize("compressed", [False, True])
def test_sizes_and_places_that_lie_are_refused(tmp_path: Path, at: int, value: int, compressed: bool) -> None:
    def edit(content: bytearray, directory: int, _: int) -> None:
        content[directory + at : directory + at + 4] = struct.pack("<L", value)

    if (at, value) != (42, 0):  # where it is
        refusal(edited(tmp_path / "a.npz", edit, compressed))


@pytest.mark.parametrize("at", range(4, 22, 2))
@pytest.mark.parametrize("value", [2, 0xFFFF])
def test_ends_that_lie_are_refused(tmp_path: Path, at: int, value: int) -> None:
    def edit(content: bytearray, _: int, end: int) -> None:
        content[end + at : end + at + 2] = struct.pack("<H", value)

    refusal(edited(tmp_path / "a.npz", edit))


def test_zip64_is_not_needed_and_not_read(tmp_path: Path) -> None:
    def edit(content: bytearray, directory: int, end: int) -> None:
        record = b"PK\x06\x06" + struct.pack("<Q2H2L4Q", 44, 45, 45, 0, 0, 1 << 40, 1 << 40, 1 << 50, directory)
        content[end:end] = record + b"PK\x06\x07" + struct.pack("<LQL", 0, end, 1)

    refusal(edited(tmp_path / "a.npz", edit))


@pytest.mark.parametrize(("before", "after"), [(b"#!/bin/sh\n", b""), (b"", b"trailing"), (b"", b"\0")])
def test_bytes_around_the_archive_are_refused(tmp_path: Path, before: bytes, after: bytes) -> None:
    (tmp_path / "a.npz").write_bytes(before + packed() + after)
    refusal(tmp_path / "a.npz")


def test_overlapping_members_are_refused(tmp_path: Path) -> None:
    """Two entries of the directory share bytes: the way to petabytes in a megabyte."""

    def edit(content: bytearray, directory: int, end: int) -> None:
        entry = bytearray(content[directory:end])
        content[end:end] = entry
        content[-22:] = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 2, 2, 2 * (end - directory), directory, 0)

    refusal(edited(tmp_path / "a.npz", edit))
    inner = archive(tmp_path / "inner.npz", {"b.npy": header() + bytes(24)}).read_bytes()
    inner = inner[: inner.index(b"PK\x01\x02")]  # a member whole in the data of another one
    path = archive(tmp_path / "a.npz", {"a.npy": header("'|u1'", f"({len(inner)},)") + inner})
    content = bytearray(path.read_bytes())
    directory, end = content.index(b"PK\x01\x02"), content.index(b"PK\x05\x06")
    entry = bytearray(content[directory:end])
    entry[16:20], entry[20:28] = struct.pack("<L", zlib.crc32(header() + bytes(24))), struct.pack("<2L", 152, 152)
    entry[42:46], entry[46:51] = struct.pack("<L", content.index(inner)), b"b.npy"
    content[end:end] = entry
    content[-22:] = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 2, 2, 2 * (end - directory), directory, 0)
    path.write_bytes(content)
    assert "overlaps" in refusal(path)


def test_a_broken_stream_is_refused(tmp_path: Path) -> None:
    content = bytearray(packed(compressed=True))
    for at in range(60, 160, 7):
        content[at] ^= 0x5A
    (tmp_path / "a.npz").write_bytes(content)
    refusal(tmp_path / "a.npz")


@pytest.mark.parametrize("compressed", [False, True])
def test_every_flipped_bit_of_the_data_is_noticed(tmp_path: Path, compressed: bool) -> None:
    def edit(content: bytearray, directory: int, _: int) -> None:
        content[directory - 9] ^= 4

    refusal(edited(tmp_path / "a.npz", edit, compressed))


def test_three_gigabytes_in_a_small_file_are_refused_before_they_are_unpacked(tmp_path: Path) -> None:
    packer = zlib.compressobj(1, zlib.DEFLATED, -15)
    zeros, head = bytes(1 << 20), header("'|u1'", f"({3 << 30},)")
    stream = packer.compress(head) + b"".join(packer.compress(zeros) for _ in range(64)) + packer.flush()
    sizes = (0, len(stream), len(head) + (3 << 30))
    local = struct.pack("<4s5H3L2H", b"PK\x03\x04", 20, 0, 8, 0, 0, *sizes, 5, 0) + b"a.npy"
    entry = struct.pack("<4s6H3L5H2L", b"PK\x01\x02", 20, 20, 0, 8, 0, 0, *sizes, 5, 0, 0, 0, 0, 0, 0) + b"a.npy"
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, len(entry), len(local) + len(stream), 0)
    (tmp_path / "a.npz").write_bytes(local + stream + entry + end)
    assert "more than its bytes can hold" in refusal(tmp_path / "a.npz", 4 << 30)


def test_a_stream_longer_than_declared_ends_there(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.npz", {"a.npy": header() + bytes(1 << 26)}, zipfile.ZIP_DEFLATED)
    content = bytearray(path.read_bytes())
    directory = content.index(b"PK\x01\x02")
    content[directory + 24 : directory + 28] = struct.pack("<L", len(header()) + 24)
    path.write_bytes(content)
    assert "another size" in refusal(path)


def test_many_arrays_that_are_too_large_together_are_refused(tmp_path: Path) -> None:
    members = {f"{number}.npy": header("'|u1'", "(1000000,)") + bytes(1_000_000) for number in range(5)}
    path = archive(tmp_path / "a.npz", members, zipfile.ZIP_DEFLATED)
    assert "is the most" in refusal(path, 4_000_000)
    assert "is the most" in refusal(path, 1000)


def test_values_that_are_no_booleans_and_no_text_are_refused(tmp_path: Path) -> None:
    for descr, shape, data in (
        ("'|b1'", "(3,)", b"\0\1\2"), ("'<U1'", "()", b"\0\0\x11\0"), ("'<U1'", "()", b"\0\xd8\0\0"), ("'>U1'", "()",
        b"\1\0\0\0"),
    ):  # fmt: skip
        path = archive(tmp_path / "a.npz", {"a.npy": header(descr, shape) + data})
        assert "no" in refusal(path)


def test_what_is_no_plain_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.npz").symlink_to("/dev/zero")
    assert "link" in refusal(tmp_path / "a.npz", inside=tmp_path)
    assert "device" in refusal(tmp_path / "a.npz")
    assert "not there" in refusal(tmp_path / "b.npz")


def test_a_plain_array_is_read_and_its_length_is_checked(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.arange(6.0).reshape(2, 3))
    assert read_array(path).tolist() == [[0, 1, 2], [3, 4, 5]]
    for content in (path.read_bytes()[:-1], path.read_bytes() + b"\0", header("'<f8'", "(99999999999,)")):
        path.write_bytes(content)
        with pytest.raises(BadInput):
            read_array(path)
    with pytest.raises(BadInput, match="is the most"):
        read_array(path, 10)
