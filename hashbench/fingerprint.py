"""Digests of code and of configurations, from which the keys of the store are made."""

from __future__ import annotations

import ast
import functools
import hashlib
import json
from pathlib import Path
from typing import Any

import hashbench

# The modules whose code decides what a trained model is, what attacks do, and what is measured on it.
TRAINING = (
    "adversarial", "cell", "clean", "codes", "data", "folding", "image_files", "model", "moves", "normalise",
    "objectives", "perturb", "pooling", "precision", "prototype", "recipe", "seeds", "soft_ap",
    "targets", "threat", "training",
)  # fmt: skip
ATTACKING = ("art", "autopgd", "chase", "exact", "gan", "guard", "keeping", "surrogate", "transformed")
JUDGING = ("evaluation", "hamming", "hamming_kernel", "hamming_tensors", "metrics")
# What decides the signals of a probe, beside the modules above; no cell depends on it.
PROBING = ("sanity",)


# The packages whose modules share code with their siblings, and whose entries are part of a key one by one.
ENTRIES = ("attacks", "backbones", "datasets", "defenses", "methods")


@functools.cache
def source_digest(path: Path) -> str:
    """A digest of the code of a registered function's file, and of the sibling modules that it imports from."""
    folder = Path(hashbench.__file__).parent
    imported = [node.module for node in ast.walk(_parse(path)) if isinstance(node, ast.ImportFrom) and node.module]
    shared = [name.split(".")[1:] for name in imported if name.startswith("hashbench.")]
    siblings = sorted({folder.joinpath(*parts).with_suffix(".py") for parts in shared if parts[0] in ENTRIES})
    return digest([code_digest(path), *map(source_digest, siblings)]) if siblings else code_digest(path)


@functools.cache
def code_digest(path: Path) -> str:
    """A digest of a Python file's code: comments, docstrings and layout do not change it."""
    tree = _parse(path)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node, clean=False):
            node.body = node.body[1:] or [ast.Pass()]
    return digest(ast.unparse(tree))


def _parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@functools.cache
def modules_digest(names: tuple[str, ...]) -> str:
    """A digest of the code of some of the package's modules."""
    folder = Path(hashbench.__file__).parent
    return digest([code_digest(folder / f"{name}.py") for name in names])


def digest(value: Any) -> str:
    """Sixteen hexadecimal digits that identify a JSON value."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def file_digest(path: Path) -> str:
    """Sixteen hexadecimal digits that identify a file's content; read once while the file stays as it is."""
    found = path.stat()
    return _file_digest(path.resolve(), found.st_size, found.st_mtime_ns)


@functools.cache
def _file_digest(path: Path, size: int, changed: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
