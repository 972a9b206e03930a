#!/usr/bin/env python
"""Change random lines that some test runs, one at a time, and count how many changes make a test fail.

A change moves a number, turns an operator or a comparison, negates a condition, or drops a statement. The tests that
ran the line, by a record that is made first, are run on a copy of the tree; one that fails has noticed.

Example: scripts/mutation_sample.py --count 100 --seed 0
"""

from __future__ import annotations

import argparse
import ast
import copy
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from coverage import CoverageData

ROOT = Path(__file__).parents[1]
SWAPS: dict[type, type] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip
SLOWEST = 180  # seconds that the tests of one change may take; a change that hangs has been noticed
LEFT_OUT = ("bench", "browser", "wheel", "cluster", "killed_runs")  # parts of names of tests that are not run


@dataclass(frozen=True)
class Change:
    """One changed piece of a file: its place in the text, and what stands there instead."""

    path: Path
    line: int
    start: int
    end: int
    text: str


def main() -> None:
    """Record which tests run which lines, change a sample of them, and print what nobody noticed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100, help="changes")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--record", type=Path, default=ROOT / ".coverage", help="made first if it is not there")
    words = parser.parse_args()
    if not words.record.exists():
        record(words.record)
    tests = tests_by_line(words.record)
    drawn = random.Random(words.seed).sample(sorted(tests), len(tests))
    changes = (change for place in drawn for change in one_change(*place, random.Random(f"{words.seed} {place}")))
    noticed = 0
    with tempfile.TemporaryDirectory() as folder:
        tree = copied_tree(Path(folder))
        for number, change in enumerate(changes, 1):
            seen = is_noticed(change, tests[change.path, change.line], tree)
            noticed += seen
            old = change.path.read_text(encoding="utf-8")[change.start : change.end].splitlines()[0]
            place = f"{change.path.relative_to(ROOT)}:{change.line}"
            print(f"{number} {'noticed' if seen else 'SURVIVED'} {place}: {old} -> {change.text}", flush=True)
            if number == words.count:
                break
    print(f"{noticed} of {words.count} noticed, seed {words.seed}")


def record(path: Path) -> None:
    """Run the suite once and note which test runs which line."""
    ignored = " and ".join(f"not {name}" for name in LEFT_OUT)
    command = ["-m", "pytest", "-q", "-n", "2", "--dist", "loadfile", "-k", ignored, "--cov", "hashbench",
               "--cov-context", "test", "--cov-report", ""]  # fmt: skip
    subprocess.run([sys.executable, *command], cwd=ROOT, env={**os.environ, "COVERAGE_FILE": str(path)}, check=False)


def tests_by_line(path: Path) -> dict[tuple[Path, int], list[str]]:
    """The tests that run each line, by file and line; lines that only imports run are left out."""
    data = CoverageData(str(path))
    data.read()
    found: dict[tuple[Path, int], list[str]] = {}
    for name in data.measured_files():
        for line, contexts in data.contexts_by_lineno(name).items():
            tests = sorted({context.partition("|")[0] for context in contexts if context})
            if tests:
                found[Path(name).resolve(), line] = tests
    return found


def one_change(path: Path, line: int, draw: random.Random) -> Iterator[Change]:
    """A random change of a line; none where there is nothing to change."""
    text = path.read_text(encoding="utf-8")
    starts = [0]
    for row in text.encode().splitlines(keepends=True):
        starts.append(starts[-1] + len(row.decode()))
    candidates = []
    for node in ast.walk(ast.parse(text)):
        if getattr(node, "lineno", None) != line:
            continue
        for mutant in mutants(node):
            place = (node.lineno, node.col_offset, node.end_lineno, node.end_col_offset)  # type: ignore[attr-defined]
            candidates.append((place, ast.unparse(mutant)))
    if candidates:
        (first, left, last, right), new = draw.choice(candidates)
        yield Change(path, line, starts[first - 1] + left, starts[last - 1] + right, new)


def mutants(node: ast.AST) -> Iterator[ast.AST]:
    """The changed forms of a node."""
    if isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield ast.Constant(not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        yield ast.Constant(node.value + 1)
    elif isinstance(node, ast.BinOp | ast.BoolOp) and type(node.op) in SWAPS:
        mutant = copy.deepcopy(node)
        mutant.op = SWAPS[type(node.op)]()
        yield mutant
    elif isinstance(node, ast.Compare) and type(node.ops[0]) in SWAPS:
        other = copy.deepcopy(node)
        other.ops[0] = SWAPS[type(node.ops[0])]()
        yield other
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub):
        yield node.operand
    elif isinstance(node, ast.IfExp):
        yield ast.IfExp(ast.UnaryOp(ast.Not(), node.test), node.body, node.orelse)
    elif isinstance(node, ast.AugAssign) or (
        isinstance(node, ast.Expr) and not isinstance(node.value, ast.Constant | ast.Yield)
    ):
        yield ast.Pass()


def copied_tree(folder: Path) -> Path:
    """A copy of the tracked files, links as links."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True).stdout
    for name in filter(None, listed.split("\0")):
        if not name.startswith("leaderboards/"):
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target, follow_symlinks=False)
    return folder


def is_noticed(change: Change, tests: list[str], tree: Path) -> bool:
    """Whether a test fails on the tree with a change; the tree is as before afterwards."""
    path = tree / change.path.relative_to(ROOT)
    before = path.read_text(encoding="utf-8")
    path.write_text(before[: change.start] + change.text + before[change.end :], encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    try:
        done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, timeout=SLOWEST, check=False)
        return done.returncode != 0
    except subprocess.TimeoutExpired:
        return True
    finally:
        path.write_text(before, encoding="utf-8")


if __name__ == "__main__":
    main()
