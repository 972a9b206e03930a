"""Arrays from anyone: archives that lie, are damaged or claim too much are refused before memory is taken."""

from __future__ import annotations

import io
import struct
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from npz_archives import archive, header, refusal
from valid_files import arrays, packed

from hashbench.errors import BadInput
from hashbench.readers.npz_files import read_array, read_arrays


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


@pytest.mark.parametrize("value", [2, 255])
def test_a_boolean_is_0_or_1(tmp_path: Path, value: int) -> None:
    flags = header("'|b1'", "(2,)")
    path = archive(tmp_path / "a.npz", {"a.npy": flags + bytes([0, 1])})
    assert read_arrays(path)["a"].tolist() == [False, True]
    assert "not bool values" in refusal(archive(path, {"a.npy": flags + bytes([1, value])}))
