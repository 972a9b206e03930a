"""Digests of values, files and code."""

from __future__ import annotations

import ast
import functools
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

DATA_VARIABLE = "HASHBENCH_DATA"  # names the folder of all data


def digest(value: Any) -> str:
    """Sixteen hexadecimal digits that identify a JSON value.

    >>> digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    True
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


RECORD_DIGEST = "record_digest"  # the field that holds a record's own digest


def signed(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record with the digest of all its other fields, by which damage is seen."""
    return {**record, RECORD_DIGEST: _of_record(record)}


def intact(record: Mapping[str, Any]) -> dict[str, Any] | None:
    """A record that was signed, without its digest; None if it is not as it was written.

    Records of older stores have no digest and are taken as they are.

    >>> intact(signed({"a": 1})), intact({**signed({"a": 1}), "a": 2}), intact({"a": 1})
    ({'a': 1}, None, {'a': 1})
    """
    plain = {name: value for name, value in record.items() if name != RECORD_DIGEST}
    if RECORD_DIGEST not in record:
        return None if any(map(_is_nearly, plain)) else plain
    return plain if record[RECORD_DIGEST] == _of_record(plain) else None


def _of_record(record: Mapping[str, Any]) -> str:
    return digest(json.loads(json.dumps(record)))  # as a reader sees it: lists for tuples, texts for all keys


def _is_nearly(name: str) -> bool:
    """Whether a name is that of the digest with one letter turned."""
    return len(name) == len(RECORD_DIGEST) and sum(a != b for a, b in zip(name, RECORD_DIGEST, strict=True)) == 1


def file_digest(path: Path) -> str:
    """Sixteen hexadecimal digits that identify a file's content; read once while the file stays as it is."""
    found = path.stat()
    return _file_digest(path.resolve(), found.st_size, found.st_mtime_ns)


def file_of_digest(wanted: str) -> Path | None:
    """The file with a digest in the folder of all data, $HASHBENCH_DATA, but not below it; None without one."""
    data = os.environ.get(DATA_VARIABLE)
    try:
        files = [path for path in sorted(Path(data).expanduser().iterdir()) if path.is_file()] if data else []
        return next((path for path in files if file_digest(path) == wanted), None)
    except OSError:
        return None


@functools.cache
def _file_digest(path: Path, size: int, changed: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


@functools.cache
def code_digest(path: Path) -> str:
    """Sixteen hexadecimal digits that identify a Python file's code: comments, docstrings and layout do not count."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node, clean=False):
            node.body = node.body[1:] or [ast.Pass()]
    return digest(ast.unparse(tree))
