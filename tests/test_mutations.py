"""The changes that scripts/mutation_sample.py makes are changes, of the piece of text that they name."""

from __future__ import annotations

import ast
import random
from pathlib import Path
from typing import Any

from changes import Change, change_of, put_into_functions

from hashbench.seeds import derive_seed

ROOT = Path(__file__).parents[1]
TEXT = '''"""Größen."""
LIMIT = 3

def f(x, *, steps=1):
    """Maße."""
    name = "é" * 2; rest = x if not x else -x
    if 0 < x <= LIMIT and name != "ü" or x is None:
        rest += 1
        raise ValueError(name)
    print("é", x // 2, True)
    return [y + 1 for y in (x, rest)]
'''


def changes(root: Path, path: str, line: int) -> set[Change]:
    drawn = {change_of(root, path, line, random.Random(seed)) for seed in range(60)}  # noqa: S311
    return {change for change in drawn if change}


def test_each_change_is_another_program(tmp_path: Path) -> None:
    (tmp_path / "f.py").write_text(TEXT, encoding="utf-8")
    text = (tmp_path / "f.py").read_bytes()
    found = {line: changes(tmp_path, "f.py", line) for line in range(1, TEXT.count("\n") + 1)}
    # Lines that an import runs, texts and plain assignments have none.
    assert {line: len(here) for line, here in found.items() if here} == {6: 5, 7: 6, 8: 2, 9: 1, 10: 4, 11: 2}
    for change in set().union(*found.values()):
        assert text[change.start : change.end].decode() == change.old
        assert ast.dump(ast.parse(change.applied(text))) != ast.dump(ast.parse(text)), change


IDLE = """def f(x, y):
    limit: Annotated[int, 3] = x
    a = [*zip(x, y, strict=True)]
    b = [*zip(x, y, strict=False)]
    c = g(x, strict=True)
    try:
        return a, b, dict(zip(x, y, strict=True))
    except ValueError:
        return [*zip(x, x, strict=True)]
"""


def test_what_makes_no_difference_is_no_change(tmp_path: Path) -> None:
    (tmp_path / "f.py").write_text(IDLE, encoding="utf-8")
    found = {line: changes(tmp_path, "f.py", line) for line in range(1, IDLE.count("\n") + 1)}
    assert {line: [(one.old, one.new) for one in here] for line, here in found.items() if here} == {
        4: [("False", "True")], 5: [("True", "False")], 7: [("True", "False")],
    }  # fmt: skip
    # As said, neither is ever looked at: the annotation names nothing, and zips of equal lengths are all alike.
    known: dict[str, Any] = {"g": lambda x, strict: x}
    exec(IDLE, known)  # noqa: S102
    changed = dict(known)
    exec(IDLE.replace("int, 3", "int, 4").replace("y, strict=True)]", "y, strict=False)]"), changed)  # noqa: S102
    assert known["f"]([1, 2], [3, 4]) == changed["f"]([1, 2], [3, 4])


def test_a_function_at_work_runs_the_change() -> None:
    path = "hashbench/seeds.py"
    text, before, code = (ROOT / path).read_bytes(), derive_seed("a"), derive_seed.__code__
    start = text.index(b">> 1")
    change = Change(path, text[:start].count(b"\n") + 1, start + 3, start + 4, "1", "2")
    put_into_functions(ROOT, change)
    try:
        assert derive_seed("a") == before // 2
    finally:
        derive_seed.__code__ = code
    assert derive_seed("a") == before
