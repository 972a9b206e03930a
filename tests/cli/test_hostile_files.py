"""Files that try to stop a command: one line on standard error, exit status 2, soon, in little memory."""

from __future__ import annotations

import io
import os
import pickle
import resource
import struct
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import Command, Outcome
from npz_archives import archive, header
from toy_boards import make_board

from hashbench.running.trial_tables import COLUMNS

NAMES = ("query_codes", "query_labels", "database_codes", "database_labels")
Make = Callable[[Path], object]


def refused(command: Command, *words: str | Path) -> str:
    """What a command says that refuses something, after all that holds for any refusal was checked."""
    start, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    outcome: Outcome = command(*words)
    assert time.process_time() - start < 10
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1_000_000  # kilobytes
    assert outcome.code == 2, outcome
    assert outcome.out == ""
    assert outcome.err.count("\n") == 1
    assert outcome.err.startswith("error: ")
    assert outcome.err[:-1].isprintable()
    assert len(outcome.err) < 2100
    return outcome.err


def valid() -> dict[str, np.ndarray[Any, Any]]:
    random = np.random.default_rng(0)
    codes, labels = random.normal(size=(30, 16)), np.eye(3)[np.arange(30) % 3]
    return dict(zip(NAMES, (codes, labels, codes, labels), strict=True))


def packed(compressed: bool = True) -> bytearray:
    file = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(file, **valid())  # type: ignore[arg-type]
    return bytearray(file.getvalue())


def broken_stream(path: Path) -> None:
    content = packed()
    for at in range(80, 200, 7):
        content[at] ^= 0x5A
    path.write_bytes(content)


def in_directory(at: int, value: int) -> Make:
    """A valid archive with one 16-bit field of its first member changed, in the directory and beside the data."""

    def make(path: Path) -> None:
        content = packed()
        place = content.index(b"PK\x01\x02")
        content[place + at : place + at + 2] = struct.pack("<H", value)
        content[at - 2 : at] = struct.pack("<H", value)
        path.write_bytes(content)

    return make


def headers(**options: str) -> Make:
    return lambda path: archive(path, {f"{name}.npy": header(**options) for name in NAMES})


def members(names: tuple[str, ...]) -> Make:
    return lambda path: archive(path, dict.fromkeys(names, header() + bytes(24)))


def three_gigabytes(path: Path) -> None:
    """13 MB that unpack to 3 GB: 768 MB of zeros for each array."""
    packer = zlib.compressobj(1, zlib.DEFLATED, -15)
    zeros, head = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH), header("'|u1'", f"({768 << 20},)")
    start = zlib.compressobj(1, zlib.DEFLATED, -15)
    stream = start.compress(head) + start.flush(zlib.Z_FULL_FLUSH) + zeros * 768 + b"\x03\0"
    sizes, content, directory = (0, len(stream), len(head) + (768 << 20)), b"", b""
    for name in (f"{name}.npy".encode() for name in NAMES):
        place = len(content)
        content += struct.pack("<4s5H3L2H", b"PK\x03\x04", 20, 0, 8, 0, 0, *sizes, len(name), 0) + name + stream
        more = (len(name), 0, 0, 0, 0, 0, place)
        directory += struct.pack("<4s6H3L5H2L", b"PK\x01\x02", 20, 20, 0, 8, 0, 0, *sizes, *more) + name
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 4, 4, len(directory), len(content), 0)
    path.write_bytes(content + directory + end)


def terabyte(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


def one_array(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, valid()["query_codes"])


def without(name: str) -> Make:
    return lambda path: np.savez(path, **{n: a for n, a in valid().items() if n != name})  # type: ignore[arg-type]


def changed(**arrays: Any) -> Make:
    return lambda path: np.savez(path, **{**valid(), **arrays})


SCORES: dict[str, tuple[Make, str]] = {
    "broken-deflate": (broken_stream, "is damaged"),
    "encrypted": (in_directory(8, 1), "is encrypted"),
    "method-77": (in_directory(10, 77), "is packed by method 77"),
    "lzma": (lambda path: archive(path, {"a.npy": header()}, zipfile.ZIP_LZMA), "is packed by LZMA"),
    "trillion": (headers(shape="(1000000000000, 8)"), "claims an array of"),
    "negative": (headers(shape="(-5, 8)"), "shape"),
    "wraps": (headers(shape="(4611686018427387904, 4)"), ""),
    "hundred-sides": (headers(shape=f"({'1, ' * 100})"), "shape"),
    "huge-side": (headers(shape=f"({'9' * 5000},)"), ""),
    "shape-of-words": (headers(shape="('a', 'b')"), "shape"),
    "shape-of-code": (headers(shape="(exit(),)"), "shape"),
    "objects": (headers(descr="'|O'"), "holds Python objects, which are never loaded"),
    "fields": (headers(descr="[('a', '<f4')]"), "has an unreadable header"),
    "strings-of-a-gigabyte": (headers(descr="'<U250000000'"), ""),
    "name-of-5000": (members(("x" * 5000 + ".npy",)), "give arrays short names"),
    "name-upwards": (members(("../../x.npy",)), "a member called"),
    "name-of-lines": (members(("a\nb: verified.npy",)), "a member called"),
    "thousands-of-members": (members(tuple(f"{n}.npy" for n in range(5000))), "has 5000 members"),
    "unpacks-to-3-gb": (three_gigabytes, "MB is the most that is read"),
    "pickle": (lambda path: path.write_bytes(pickle.dumps([1])), "no .npz file"),
    "empty": (lambda path: path.write_bytes(b""), "no .npz file"),
    "cut-short": (lambda path: path.write_bytes(packed()[:-100]), "no .npz file"),
    "behind-a-script": (lambda path: path.write_bytes(b"#!/bin/sh\n" + packed()), ""),
    "text": (lambda path: path.write_text("query_codes,1\n"), "no .npz file"),
    "endless": (lambda path: path.symlink_to("/dev/zero"), "is a device"),
    "pipe": (lambda path: os.mkfifo(path), "is a named pipe"),
    "folder": (lambda path: path.mkdir(), "is a folder"),
    "terabyte": (terabyte, ""),
    "loop": (lambda path: path.symlink_to(path.name), "can't be read"),
    "one-array": (one_array, ""),
    "lacking": (without("query_labels"), "lacks query_labels"),
    "one-dimension": (changed(query_codes=np.ones(30)), "give a two-dimensional array"),
    "nan": (changed(query_codes=np.full((30, 16), np.nan)), "holds NaN or infinity"),
    "complex": (changed(query_codes=np.ones((30, 16), complex)), ""),
    "texts": (changed(query_labels=np.full((30, 3), "a")), "holds <U1; give numbers"),
    "more-bits": (changed(query_codes=np.random.default_rng(0).normal(size=(30, 17))), "they must agree"),
    "no-items": (changed(database_codes=np.ones((0, 16)), database_labels=np.ones((0, 3))), "not empty"),
    "labels-of-2": (changed(query_labels=np.full((30, 3), 2)), "labels are multi-hot rows of 0 and 1"),
    "nothing-shared": (changed(query_labels=np.zeros((30, 3))), "no query shares a label"),
}  # fmt: skip


@pytest.mark.parametrize("name", SCORES)
def test_score_refuses(name: str, command: Command) -> None:
    make, message = SCORES[name]
    make(Path("codes.npz"))
    assert message in refused(command, "score", "codes.npz")


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("results", "eps", "nan"), ("results", "eps", "much"), ("results", "eps", "510/255"), ("results", "eps", ""),
        ("results", "map", "high"), ("results", "map", "inf"), ("results", "map", "1e999"), ("results", "map", "-1"),
        ("results", "seed", "-1"), ("results", "seed", "1.5"), ("results", "bits", "many"), ("results", "bits", "0"),
        ("results", "seed", "9" * 5000), ("results", "status", "fine"), ("results", "goal", "\x1b[2J"),
        ("results", "map", "٣"), ("ranking", "map_worst", "best"), ("ranking", "rank", "first"),
        ("ranking", "ci_low", "nan"), ("ranking", "n_queries", "1e3"), ("ranking", "p_holm", "2"),
        ("sanity", "zero_gradient_share", "none"), ("curve", "eps", "nan"), ("curve", "map", "up"),
        ("provenance", "attack_seconds", "soon"), ("results", "defense", "=HYPERLINK(1)"),
    ],
)  # fmt: skip
def test_the_page_refuses_tables_with_other_values_than_numbers(
    table: str, column: str, value: str, command: Command
) -> None:
    folder = make_board(Path("leaderboards"))
    path = folder / f"{table}.csv"
    lines = path.read_text().splitlines()
    place = lines[0].split(",").index(column)
    cells = lines[1].split(",")
    lines[1] = ",".join([*cells[:place], value, *cells[place + 1 :]])
    path.write_text("\n".join(lines) + "\n")
    assert f"{table}.csv" in refused(command, "page", "leaderboards")


@pytest.mark.parametrize(
    "content",
    ["", "\n", '"', "defense\n" + "x" * 200_000, "defense\ncgat,1\n", "defense,defense\n1,2\n", "a\0b\n", "\xff\xfe"],
)
def test_the_page_refuses_what_is_no_table(content: str, command: Command) -> None:
    folder = make_board(Path("leaderboards"))
    (folder / "results.csv").write_text(content)
    refused(command, "page", "leaderboards")


RUNS: dict[str, tuple[str | bytes, str]] = {
    "text": ('run = "x"', "run is 'x'"),
    "number": ("run = 5", "run is 5"),
    "texts": ('run = ["a"]', "run 1 is 'a'"),
    "nested": ("a = " + "[" * 5000, "nests lists and tables deeper than"),
    "nested-tables": ("a = " + "{a = " * 5000, "nests lists and tables deeper than"),
    "dotted": ("a" + ".a" * 5000 + " = 1", "a word of more than 200 characters"),
    "27-million": (
        "[[run]]\n" + "".join(f"{k} = {[f'a{n}' for n in range(300)]}\n" for k in ("dataset", "backbone", "method")),
        "stands for 27000000 matrices",
    ),
    "bits-0": ("[[run]]\nbits = 0", "run 1: bits is 0; give a number from 1 to 1024"),
    "bits-negative": ("[[run]]\n[[run]]\nbits = -5", "run 2: bits is -5"),
    "bits-true": ("[[run]]\nbits = true", "run 1: bits is true"),
    "bits-huge": ("[[run]]\nbits = 100000000000000000000", "run 1: bits is 100000000000000000000"),
    "bits-second": ("[[run]]\nbits = [16, 0]", "run 1: bits[1] is 0"),
    "seed-negative": ("[[run]]\nseed = -1", "run 1: seed is -1"),
    "seeds-negative": ("[[run]]\nseed = [0, -1]", "run 1: seed[1] is -1"),
    "eps-510": ('[[run]]\neps = "510/255"', "run 1: eps is '510/255'"),
    "eps-nan": ("[[run]]\neps = nan", "run 1: eps is nan"),
    "control": ('[[run]]\ndataset = "a\\nb"', r"run 1: dataset is 'a\x0ab'"),
    "unknown": ("[[run]]\nbitz = 32", "run 1: there is no key bitz; did you mean 'bits'?"),
    "latin-1": (b"title = '\xe9'", "mine.toml"),
    "no-toml": ("[[run", "is not a TOML file"),
    "empty": ("", "has no [[run]] table"),
}  # fmt: skip


@pytest.mark.parametrize("name", RUNS)
def test_suites_of_wrong_values_are_refused_with_run_and_key(name: str, command: Command) -> None:
    content, message = RUNS[name]
    Path("mine.toml").write_bytes(content if isinstance(content, bytes) else content.encode())
    assert message in refused(command, "run", "--suite", "mine.toml", "--dry-run")


HEADER = ",".join(COLUMNS)
ROW = "digits,cnn,csq,32,clean,d,linf,0.125,noise,1000,cgat,cgat:weight=1,0.5,0.4,yes"
TUNED = {
    "empty": "",
    "lines-only": "\n\n\n",
    "header-only": f"{HEADER}\n",
    "long-row": f"{HEADER}\n{ROW},more\n",
    "short-row": f"{HEADER}\ndigits,cnn\n",
    "rows-of-100000": f"{HEADER}\n{ROW}{',' * 100_000}\n",
    "other-columns": "a,b\n1,2\n",
    "binary": "\0\1\2",
    "open-quote": f'{HEADER}\n"digits',
    "eps-nan": f"{HEADER}\n{ROW.replace('0.125', 'nan')}\n",
    "map-text": f"{HEADER}\n{ROW.replace('0.4', 'high')}\n",
    "chosen-maybe": f"{HEADER}\n{ROW.replace('yes', 'maybe')}\n",
    "bits-0": f"{HEADER}\n{ROW.replace(',32,', ',0,')}\n",
    "formula": f"{HEADER}\n{ROW.replace('digits', '=1+1')}\n",
    "escape": f"{HEADER}\n{ROW.replace('linf', chr(27) + '[2J')}\n",
    "field-of-a-megabyte": f"{HEADER}\n{'x' * 1_000_000}\n",
}


@pytest.mark.parametrize("name", TUNED)
def test_tuned_tables_of_another_form_are_refused(name: str, command: Command) -> None:
    Path("tuned.csv").write_text(TUNED[name])
    assert "tuned.csv" in refused(command, "run", "--defense", "cgat", "--tuned", "tuned.csv")


@pytest.mark.parametrize("spoil", ["pipe", "endless", "folder", "absent"])
def test_tuned_tables_that_are_no_plain_files_are_refused(spoil: str, command: Command) -> None:
    if spoil == "pipe":
        os.mkfifo("tuned.csv")
    elif spoil == "endless":
        Path("tuned.csv").symlink_to("/dev/zero")
    elif spoil == "folder":
        Path("tuned.csv").mkdir()
    assert "tuned.csv" in refused(command, "run", "--defense", "cgat", "--tuned", "tuned.csv")
