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
TRAINING = ("cell", "clean", "codes", "data", "model", "moves", "normalise", "perturb", "seeds", "threat", "training")
ATTACKING = ("art", "autopgd", "chase", "gan", "keeping", "objectives", "prototype", "surrogate", "targets")
JUDGING = ("evaluation", "hamming", "metrics")


@functools.cache
def code_digest(path: Path) -> str:
    """A digest of a Python file's code: comments, docstrings and layout do not change it."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node, clean=False):
            node.body = node.body[1:] or [ast.Pass()]
    return digest(ast.unparse(tree))


@functools.cache
def modules_digest(names: tuple[str, ...]) -> str:
    """A digest of the code of some of the package's modules."""
    folder = Path(hashbench.__file__).parent
    return digest([code_digest(folder / f"{name}.py") for name in names])


def digest(value: Any) -> str:
    """Sixteen hexadecimal digits that identify a JSON value."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
