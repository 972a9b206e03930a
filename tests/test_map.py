"""CONTRIBUTING's map names files that exist, and every module says what it is for."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted(
    path for folder in ("attacks", "defenses", "hashbench", "scripts") for path in ROOT.glob(f"{folder}/**/*.py")
)


def named_files() -> list[str]:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    chapter = text.partition("## Where is what\n")[2].partition("\n## ")[0]
    return re.findall(r"^\| .*\? \| `([^`]+)` \|$", chapter, flags=re.MULTILINE)


def test_the_map_answers_at_least_twelve_questions_with_different_files() -> None:
    assert len(set(named_files())) == len(named_files()) >= 12


@pytest.mark.parametrize("path", named_files())
def test_a_file_of_the_map_exists(path: str) -> None:
    assert (ROOT / path).is_file()


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_has_a_docstring(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
