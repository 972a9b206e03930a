"""The examples in docstrings run, and give what they say."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
from pathlib import Path

import pytest
from command import make_probes_small

import hashbench

FOLDER = Path(hashbench.__file__).parent
ALIASES = {"__version__", "Craft"}  # names that stand for values without a docstring


def modules_with_examples() -> list[str]:
    names = ["hashbench", *(found.name for found in pkgutil.walk_packages([str(FOLDER)], "hashbench."))]
    paths = {name: FOLDER.parent.joinpath(*name.split(".")) for name in names}
    sources = {name: path / "__init__.py" if path.is_dir() else path.with_suffix(".py") for name, path in paths.items()}
    return [name for name, source in sources.items() if ">>> " in source.read_text(encoding="utf-8")]


@pytest.mark.usefixtures("registries")
@pytest.mark.parametrize("name", modules_with_examples())
def test_the_examples_of_a_module_give_what_they_say(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make_probes_small(monkeypatch)
    found = doctest.testmod(importlib.import_module(name))
    assert found.attempted > 0
    assert found.failed == 0


@pytest.mark.parametrize("name", sorted(set(hashbench.__all__) - ALIASES))
def test_whatever_hashbench_exports_has_an_example(name: str) -> None:
    assert ">>> " in (inspect.getdoc(getattr(hashbench, name)) or "")
