"""The changes that scripts/mutation_sample.py makes are changes, of the piece of text that they name."""

from __future__ import annotations

import ast
import random
from pathlib import Path

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
