"""A user's code counts in the keys of results: the file itself, and the modules of the user that it imports."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hashbench.digests import code_digest
from hashbench.registry import entries, plugins


@pytest.fixture
def laboratory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package whose module att imports its neighbour, which imports a module beside the package."""
    package = tmp_path / "laboratory"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "att.py").write_text("import math\nimport torch.nn\nimport missing_module\nfrom . import near\n")
    (package / "near.py").write_text("from beside_it import SIGN\n")
    (tmp_path / "beside_it.py").write_text("SIGN = 1\n")
    (tmp_path / "alone.py").write_text("import json\nimport numpy\nfrom hashbench import attack\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    plugins.forget_code()
    yield tmp_path
    for name in ("laboratory", "laboratory.att", "laboratory.near", "beside_it", "alone"):
        sys.modules.pop(name, None)
    plugins.forget_code()


@pytest.mark.parametrize("changed", ["laboratory/att.py", "laboratory/near.py", "beside_it.py"])
def test_a_change_of_what_it_imports_counts_and_a_comment_does_not(laboratory: Path, changed: str) -> None:
    def found() -> str:
        plugins.forget_code()
        return plugins.users_code("laboratory.att", laboratory / "laboratory" / "att.py")

    before, text = found(), (laboratory / changed).read_text()
    (laboratory / changed).write_text(f"# a comment\n{text}")
    assert found() == before != ""
    (laboratory / changed).write_text(f"{text}MORE = 2\n")
    assert found() != before


def test_a_file_that_imports_no_other_of_the_user_has_its_own_digest(laboratory: Path) -> None:
    path = laboratory / "alone.py"
    assert plugins.users_code("alone", path) == code_digest(path)
    assert plugins.users_code(f"{plugins.FILE_PREFIX}alone", path) == code_digest(path)


def test_code_that_a_version_stands_for_has_none() -> None:
    for entry in (entries.attacks["hag"], entries.defenses["cgat"]):
        assert entry.stamp == entry.version
    assert plugins.users_code("torch.nn", Path(str(sys.modules["torch"].__file__))) == ""
    assert plugins.users_code("json", Path(str(sys.modules["json"].__file__))) == ""
    assert plugins.users_code("__main__", Path(__file__)) == "", "written into a file of its own first"
