"""A folder with all that the fuzzed command line can name: a small store and its board, and files of many faults."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import sys
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast
from unittest.mock import patch

import numpy as np
import valid_files
from npz_archives import archive, header
from small_files import write_lists

from hashbench.cli.main import main

PLUGIN = '''
from hashbench import Craft, Queries, Threat, Victim, attack

@attack("mine")
def my_attack(victim: Victim, threat: Threat, *, steps: int = 1) -> Craft:
    """An attack of my own."""
    def craft(queries: Queries):
        return queries.images
    return craft
'''
SUITE = '[[run]]\ndataset = "digits"\nbits = [16, 32]\nattack = ["noise"]\ndefense = ["cgat"]\neps = "8/255"\n'
TEXTS = {
    "good.py": PLUGIN, "bad.py": "def f(:", "exits.py": "raise SystemExit(3)", "nothing.py": "x = 1", "empty": "",
    "mine.toml": SUITE, "nested.toml": "a = " + "[" * 5000, "numbers.toml": "run = 5",
    "many.toml": f"[[run]]\ndataset = {[f'a{n}' for n in range(999)]}\nmethod = {[f'a{n}' for n in range(999)]}\n",
    "broken.csv": "a,b\n1,2,3\n\"", "tuned.csv": "",
}  # fmt: skip
MAKE = (
    "run --dataset digits --training epochs=1 --defense bit-depth --attack noise "
    "--attack pgd-hamming:steps=1,restarts=1"
)
SMALL = {
    "hashbench.evaluation.probe.QUERIES": 8,
    "hashbench.evaluation.probe.STEPS": 1,
    "hashbench.running.probes.BLACK_BOX": "square-hamming:steps=2",
}


@contextlib.contextmanager
def small_probes() -> Iterator[None]:
    """Probes as small as can be; what is made with them can be verified with them only."""
    with contextlib.ExitStack() as stack:
        for name, value in SMALL.items():
            stack.enter_context(patch(name, value))
        yield


def invoke(words: Sequence[str]) -> tuple[int, str, str]:
    """The exit status of the command line, and what it prints to a strict UTF-8 output and to standard error."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", mode) for mode in ("strict", "backslashreplace"))
    code: object = 0
    words_of = patch.object(sys, "argv", ["hashbench", *words])
    with words_of, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as end:
            code = end.code
    found = code if isinstance(code, int) else int(bool(code))
    return found, _printed(out), _printed(err)


def _printed(stream: io.TextIOWrapper) -> str:
    """What a stream got; one that the command has closed gets nothing more."""
    if stream.closed:
        return ""
    stream.flush()
    return cast("io.BytesIO", stream.buffer).getvalue().decode()


def make_store(folder: Path) -> None:
    """Make a small store, its board and a submission in a folder, which becomes the current one."""
    os.chdir(folder)
    with small_probes():
        for words in (MAKE.split(), ["submit", "bit-depth", "--attack", "noise"]):
            code, _, err = invoke(words)
            if code:
                raise RuntimeError(err)


def make_template(folder: Path) -> None:
    """Fill a folder with all that can be named; it becomes the current one."""
    make_store(folder)
    for name, text in TEXTS.items():
        Path(name).write_text(text)
    shutil.copy(Path(sys.modules["hashbench"].__file__ or "").parent / "running/suites/tuned.csv", "tuned.csv")
    Path("binary.py").write_bytes(bytes(range(256)))
    Path("latin.toml").write_bytes(b"title = '\xe9'")
    Path("latin.csv").write_bytes(b"defense,\xe9\n")
    random = np.random.default_rng(0)
    codes, labels = random.normal(size=(30, 16)), np.eye(3)[np.arange(30) % 3]
    np.savez("codes.npz", query_codes=codes, query_labels=labels, database_codes=codes, database_labels=labels)
    np.save("codes.npy", codes)
    Path("broken.npz").write_bytes(Path("codes.npz").read_bytes()[:-300])
    names = ("query_codes", "query_labels", "database_codes", "database_labels")
    archive(Path("huge.npz"), {f"{name}.npy": header(shape="(1000000000000, 8)") for name in names})
    archive(Path("zero.npz"), {"query_codes.npy": bytes(50_000_000)}, zipfile.ZIP_DEFLATED)
    valid_files.picture().save("image.png")
    for name in ("folder", "folder.py", "folder.toml", "images"):
        Path(name).mkdir(parents=True)
    write_lists(Path("images"), classes=3)
    for kind, name in (("runs", "broken-runs"), ("leaderboards", "broken-board"), ("sent", "broken-sent")):
        shutil.copytree(kind, name)
        for number, path in enumerate(sorted(path for path in Path(name).rglob("*") if path.is_file())):
            content = path.read_bytes()
            if number % 3 == 0 and content:
                path.write_bytes(valid_files.damaged(content, np.random.default_rng(number)))


@contextlib.contextmanager
def filled(template: Path, folder: Path) -> Iterator[None]:
    """A fresh copy of the template as the current folder, with the pipes and links that no copy keeps."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(template, folder, symlinks=True)
    before = Path.cwd()
    os.chdir(folder)
    for name in ("pipe", "pipe.py", "pipe.toml"):
        os.mkfifo(name)
    Path("zero").symlink_to("/dev/zero")
    Path("loop").symlink_to("loop")
    try:
        yield
    finally:
        os.chdir(before)
