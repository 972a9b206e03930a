"""Small changes of a line of Python, as a slip of the hand could make them, in files and in functions at work.

What can make no difference is no change: annotations of local variables, which Python never evaluates, and the
`strict=True` of a `zip`, which like an assertion only stops a program that is wrong already; where a `try` could
answer it, it is changed as all else.
"""

from __future__ import annotations

import ast
import copy
import gc
import importlib
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FunctionType

SWAPS: dict[type, type] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip


@dataclass(frozen=True)
class Change:
    """One changed piece of a file: its place from the root, where it stands in the bytes, what stands there instead."""

    path: str
    line: int
    start: int
    end: int
    old: str
    new: str

    @property
    def place(self) -> str:
        """The file and the line."""
        return f"{self.path}:{self.line}"

    def applied(self, text: bytes) -> bytes:
        """The file with the change."""
        return text[: self.start] + self.new.encode() + text[self.end :]


def change_of(root: Path, path: str, line: int, draw: random.Random) -> Change | None:
    """A random change of a line in a function; None where there is nothing to change."""
    text = (root / path).read_bytes()
    starts = [0]
    for row in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(row))
    parsed, candidates = ast.parse(text), []
    if not any(line in _lines(function) for function in _outer_functions(parsed)):
        return None
    idle = set(_without_effect(parsed))
    for node in ast.walk(parsed):
        if node in idle or not isinstance(node, ast.expr | ast.stmt) or node.lineno != line:
            continue
        if node.end_lineno and node.end_col_offset:
            start, end = starts[line - 1] + node.col_offset, starts[node.end_lineno - 1] + node.end_col_offset
            candidates += [(start, end, ast.unparse(mutant)) for mutant in _mutants(node)]
    if not candidates:
        return None
    start, end, new = draw.choice(candidates)
    return Change(path, line, start, end, text[start:end].decode(), new)


def _without_effect(node: ast.AST, *, tried: bool = False) -> Iterator[ast.AST]:
    """Nodes below a node whose change makes no difference, outside and inside the body of a `try`."""
    if isinstance(node, ast.AnnAssign):
        yield from ast.walk(node.annotation)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "zip" and not tried:
        yield from (
            word.value
            for word in node.keywords
            if word.arg == "strict" and isinstance(word.value, ast.Constant) and word.value.value is True
        )
    for name, value in ast.iter_fields(node):
        inside = tried or (isinstance(node, ast.Try) and name == "body")
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _without_effect(child, tried=inside)


def _mutants(node: ast.AST) -> Iterator[ast.AST]:
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
    elif isinstance(node, ast.AugAssign | ast.Raise) or (
        isinstance(node, ast.Expr) and not isinstance(node.value, ast.Constant | ast.Yield)
    ):
        yield ast.Pass()


def _outer_functions(node: ast.AST) -> Iterator[ast.FunctionDef]:
    """The functions and methods that are in no other function."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef):
            yield child
        else:
            yield from _outer_functions(child)


def _lines(function: ast.FunctionDef) -> range:
    return range(function.body[0].lineno, (function.end_lineno or 0) + 1)


def put_into_functions(root: Path, change: Change) -> None:
    """Let the function that has the line, wherever this process holds it, run the changed code from now on.

    Raises:
        LookupError: no such function is found.
        ValueError: the function has other free variables than the changed one.
    """
    file = root / change.path
    importlib.import_module(".".join(("hashbench/" + change.path.removeprefix("hashbench/"))[:-3].split("/")))
    changed = {
        (code.co_qualname, code.co_firstlineno): code
        for code in _codes(compile(change.applied(file.read_bytes()), file, "exec", dont_inherit=True))
        if any(change.line == line for _, _, line in code.co_lines()) or _codes_have(code, change.line)
    }
    found = 0
    for one in gc.get_objects():
        if type(one) is FunctionType and Path(one.__code__.co_filename).name == file.name:
            code = changed.get((one.__code__.co_qualname, one.__code__.co_firstlineno))
            if code and Path(one.__code__.co_filename).resolve() == file.resolve():
                one.__code__ = code
                found += 1
    if not found:
        raise LookupError(f"no function has {change.place}")


def _codes(code: CodeType) -> Iterator[CodeType]:
    """The code objects of functions and methods in a module's or class's code, and in each other."""
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _codes(constant)


def _codes_have(code: CodeType, line: int) -> bool:
    return any(line == at for inner in _codes(code) for _, _, at in inner.co_lines())
