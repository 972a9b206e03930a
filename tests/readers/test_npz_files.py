"""Arrays from anyone: archives that lie, are damaged or claim too much are refused before memory is taken."""

from __future__ import annotations

import io
import resource
import struct
import time
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from valid_files import arrays, packed

from hashbench.errors import BadInput
from hashbench.readers.npz_files import MEMBERS, read_array, read_arrays

SEED_FILE = {"a": np.arange(12, dtype=np.int32).reshape(3, 4)}


def refusal(path: Path, *args: Any, **options: Any) -> str:
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(BadInput) as caught:
        read_arrays(path, *args, **options)
    assert time.perf_counter() - start < 5
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


@pytest.mark.parametrize("compressed", [False, True])
def test_arrays_are_those_of_numpy(tmp_path: Path, compressed: bool) -> None:
    path = tmp_path / "a.npz"
    path.write_bytes(packed(compressed))
    found = read_arrays(path, inside=tmp_path)
    for name, array in arrays().items():
        assert found[name].dtype == array.dtype
        assert found[name].flags.f_contiguous == array.flags.f_contiguous
        np.testing.assert_array_equal(found[name], array)
    assert list(found) == list(arrays())
    found["codes"][0, 0] = 3  # it may be written to


kinds = st.sampled_from(["?", "i1", "<u2", ">i4", "<u8", "<f2", ">f4", "<f8", "<U3", ">U2"])


@given(
    arrays_of.arrays(kinds, arrays_of.array_shapes(min_dims=0, min_side=0, max_side=4), elements={"allow_nan": True})
)
@settings(derandomize=True, max_examples=100, deadline=None)
def test_what_numpy_writes_is_read_back(array: np.ndarray[Any, Any]) -> None:
    file = Path("/dev/shm") if Path("/dev/shm").is_dir() else Path("/tmp")  # noqa: S108
    path = file / f"hashbench-{np.random.default_rng().integers(1 << 40)}.npz"
    try:
        np.savez(path, a=array)
        found = read_arrays(path)["a"]
    finally:
        path.unlink()
    assert found.dtype == array.dtype
    assert found.shape == array.shape
    assert found.tobytes("A") == array.tobytes("A")


def test_a_file_written_by_streams_of_other_tools_is_read(tmp_path: Path) -> None:
    """With sizes behind the data, and headers without spaces."""

    class Stream(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def seek(self, *_: int) -> int:
            raise io.UnsupportedOperation

        def tell(self) -> int:
            raise io.UnsupportedOperation

    stream = Stream()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as file:
        text = b'{"shape":(2L,),"descr":"<i2","fortran_order":False}\n'
        file.writestr("a.npy", b"\x93NUMPY\x01\0" + struct.pack("<H", len(text)) + text + b"\1\0\2\0")
    (tmp_path / "a.npz").write_bytes(stream.getvalue())
    assert read_arrays(tmp_path / "a.npz")["a"].tolist() == [1, 2]


def test_names_are_allowed_and_wanted(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.npz", {"a.npy": header() + bytes(24), "b.npy": header("'|O'") + bytes(24)})
    assert list(read_arrays(path, wanted=["a"])) == ["a"]
    assert "'b'" in refusal(path, allowed=["a"])
    assert "lacks c; it has 'a, b'" in refusal(path, wanted=["a", "c"])
    assert "b4" not in refusal(path, kinds="iu", wanted=["a"])


@pytest.mark.parametrize("descr", ["'|O'", "'O'", "'|O8'", "'<O'"])
def test_python_objects_are_never_loaded(tmp_path: Path, descr: str) -> None:
    assert "never loaded" in refusal(archive(tmp_path / "a.npz", {"a.npy": header(descr) + bytes(48)}))


def test_a_pickle_made_by_numpy_is_not_run(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "touched",))

    np.savez(tmp_path / "a.npz", a=np.array([Evil()], dtype=object))
    assert "never loaded" in refusal(tmp_path / "a.npz")
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize(
    "descr",
    [
        "[('a', '<f4'), ('b', '<f4')]", "[('a', [('b', '|O')])]", "'<f4,<f4'", "'V8'", "'<m8[ns]'", "'<M8'", "'<c8'",
        "'S4'",
        "'<f16'", "'<U0'", "'<f3'", "'<x4'", "''", "'<f4", "f4", "None", "4", "{'a': 1}", "'<f4' + '<f4'", "'<f4\\x00'",
        "__import__('os')", "'<U999999999'", "'<f4' if True else 1", "('<f4', (1000000000,))", "'\\u202e'",
    ],
)  # fmt: skip
def test_other_types_are_refused(tmp_path: Path, descr: str) -> None:
    refusal(archive(tmp_path / "a.npz", {"a.npy": header(descr) + bytes(24)}))


@pytest.mark.parametrize(
    "shape",
    [
        "(1000000000000, 33)", "(-1, 2)", "(-2, -3)", "(2, -3)", "(0, 1000000000000000000)", "(1000000000000000000, 0)",
        "(1,1,1,1,1,1,1,1,6)", "(2, 3.0)", "(2, True)", "2", "[2, 3]", "(2, 3", "(,)", "(2,,3)", "(2, 3, 'a')",
        "(1e9,)",
        "(" + "1, " * 3000 + ")", "(" * 100 + ")" * 100, "(" + "9" * 5000 + ",)", "(2 3)", "(0x6,)",
        "(9" + "9" * 17 + ",)",
        "(--6,)", "(2, 4)", "(2, 2)", "()", "(6, 1, 0)",
    ],
)  # fmt: skip
def test_absurd_shapes_are_refused(tmp_path: Path, shape: str) -> None:
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}"
    content = b"\x93NUMPY\x02\0" + struct.pack("<L", len(text)) + text.encode() + bytes(24)
    refusal(archive(tmp_path / "a.npz", {"a.npy": content}))


@pytest.mark.parametrize(
    "content",
    [
        b"", b"\x93", b"\x93NUMPY", b"\x93NUMPY\x01\0", b"\x93NUMPY\x01\0\xff\xff", b"\x93NUMPY\x09\0v\0", b"\x80\x04.",
        b"\x93NUMPY\x02\0\xff\xff\xff\xff{", b"\x93NUMPY\x01\0\x02\0{}", header(fortran="1") + bytes(24),
        b"\x93NUMPY\x01\0\x03\0{{}", header() + bytes(23), header() + bytes(25),
        header("'<f4', 'descr': '<f4'") + bytes(24),
        header("'<f4', 'more': 1") + bytes(24), b"\x93NUMPY\x03\0" + struct.pack("<L", 9) + b"\xc3\xa9" * 5,
        b"\x93NUMPY\x01\x01" + header()[8:] + bytes(24),
    ],
)  # fmt: skip
def test_damaged_headers_are_refused(tmp_path: Path, content: bytes) -> None:
    refusal(archive(tmp_path / "a.npz", {"a.npy": content}))
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(BadInput):
        read_array(tmp_path / "a.npy")


@pytest.mark.parametrize("text", ["-" * 9000 + "1", "[" * 9000, "'" * 9000, "{" * 9000, " " * 9999, "'descr'" * 1400])
def test_headers_take_no_time(tmp_path: Path, text: str) -> None:
    for body in (text, "{" + text + "}"):
        content = b"\x93NUMPY\x01\0" + struct.pack("<H", len(body)) + body.encode()
        refusal(archive(tmp_path / "a.npz", {"a.npy": content}))


@pytest.mark.parametrize(
    "name",
    [
        "x" * 5000 + ".npy",
        ".npy",
        "a",
        "a.txt",
        "../a.npy",
        "/a.npy",
        "b/a.npy",
        "b\\a.npy",
        "a\n.npy",
        "\u202ea.npy",
    ],
)
def test_odd_names_are_refused(tmp_path: Path, name: str) -> None:
    refusal(archive(tmp_path / "a.npz", {name: header() + bytes(24)}))


def test_a_name_stands_once(tmp_path: Path) -> None:
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(tmp_path / "a.npz", "w") as file:
        file.writestr("a.npy", header() + bytes(24))
        file.writestr("a.npy", header() + bytes(24))
    assert "one name" in refusal(tmp_path / "a.npz")


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
