"""The house: what may import what, how large things may be, and that each word is used once."""

from __future__ import annotations

import ast
import builtins
import graphlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from hashbench import errors

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "hashbench"

# From the bottom up; a package may import from itself and from those before it. Names without a dot are modules.
FLOORS = (
    ("errors", "types"),
    ("digests", "progress", "readers", "seeds"),
    ("threat",),
    ("models",),
    ("metrics",),
    ("registry",),
    ("certification",),
    ("crafting",),
    ("training",),
    ("attacks", "backbones", "datasets", "defenses", "methods"),
    ("evaluation",),
    ("running",),
    ("boards",),
    ("conformance", "verification"),
    ("api",),
    ("cli",),
)
KINDS = next(parts for parts in FLOORS if "attacks" in parts)
ONLY_IN = {"click": "cli", "matplotlib": "boards.plots", "art": "crafting.art_bridge"}
# The registry's loader finds entries by their files; the facade names what it hands on.
MOST_MODULES, MOST_AT_THE_TOP, MOST_LINES, MOST_LINES_OF_A_FUNCTION = 15, 8, 300, 50


def module_files() -> dict[str, Path]:
    """Every module by its name from the package, `attacks` and `defenses` by their real folders."""
    files = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        if not {"attacks", "defenses"} & set(path.relative_to(PACKAGE).parts[:-1]) or "conformance" in path.parts:
            files[".".join(path.relative_to(PACKAGE).with_suffix("").parts)] = path
    for kind in ("attacks", "defenses"):
        files |= {f"{kind}.{path.stem}": path for path in sorted((ROOT / kind).glob("*.py"))}
    return {name: path for name, path in files.items() if not name.endswith("__init__")}


FILES = module_files()
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in FILES.items()}


def imported(tree: ast.Module) -> set[str]:
    """The package's modules that a module imports: at its top, inside functions and for type checks alike."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "hashbench":
            inside = (node.module or "").partition(".")[2]
            for name in node.names:
                whole = f"{inside}.{name.name}".strip(".")
                found.add(whole if whole in FILES else inside)
    return {name for name in found if name in FILES}


IMPORTS = {name: imported(tree) for name, tree in TREES.items()}
FLOOR = {part: number for number, parts in enumerate(FLOORS) for part in parts}


def part_of(module: str) -> str:
    return module.partition(".")[0]


def test_no_module_imports_itself_by_way_of_others() -> None:
    try:
        list(graphlib.TopologicalSorter(IMPORTS).static_order())
    except graphlib.CycleError as error:
        pytest.fail(f"a circle of imports: {' -> '.join(error.args[1])}")


def test_imports_go_down_only() -> None:
    upwards = [
        f"{module} imports {other}"
        for module, others in IMPORTS.items()
        for other in others
        if part_of(module) != part_of(other) and FLOOR[part_of(other)] >= FLOOR[part_of(module)]
    ]
    assert not upwards


def test_kinds_of_entries_do_not_import_each_other() -> None:
    across = [
        f"{module} imports {other}"
        for module, others in IMPORTS.items()
        for other in others
        if part_of(module) in KINDS and part_of(other) in KINDS and part_of(other) != part_of(module)
    ]
    assert not across


@pytest.mark.parametrize("library", ONLY_IN)
def test_a_library_has_one_home(library: str) -> None:
    users = {
        name
        for name, tree in TREES.items()
        for node in ast.walk(tree)
        if (isinstance(node, ast.ImportFrom) and node.level == 0 and (node.module or "").partition(".")[0] == library)
        or (isinstance(node, ast.Import) and any(alias.name.partition(".")[0] == library for alias in node.names))
    }
    assert users
    assert all(name.startswith(ONLY_IN[library]) for name in users), users


def test_packages_and_the_top_stay_small() -> None:
    sizes: dict[str, int] = defaultdict(int)
    for name in FILES:
        sizes[name.rpartition(".")[0]] += 1
    assert sizes.pop("") + 1 <= MOST_AT_THE_TOP  # with __init__.py
    entries = {kind: sizes.pop(kind) for kind in KINDS}  # one file an entry, as many as there are
    assert entries
    assert {package: size for package, size in sizes.items() if size > MOST_MODULES} == {}


def test_files_and_functions_fit_a_screen() -> None:
    texts = {path: path.read_text(encoding="utf-8") for path in [*FILES.values(), *(ROOT / "scripts").glob("*.py")]}
    texts |= {path: path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py")}
    long_files = {path.name: text.count("\n") for path, text in texts.items() if text.count("\n") > MOST_LINES}
    long_functions = {
        f"{path.name}: {node.name}": node.end_lineno - node.lineno + 1
        for path, text in texts.items()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef)
        and node.end_lineno
        and node.end_lineno - node.lineno + 1 > MOST_LINES_OF_A_FUNCTION
    }
    assert (long_files, long_functions) == ({}, {})


def test_a_class_has_a_name_of_its_own() -> None:
    names = Counter(
        node.name
        for tree in TREES.values()
        for node in tree.body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    assert {name: count for name, count in names.items() if count > 1} == {}


def test_all_that_is_public_says_what_it_is() -> None:
    silent = []
    for module, tree in TREES.items():
        silent += [] if ast.get_docstring(tree) else [module]
        public = [n for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef) and not n.name.startswith("_")]
        methods = [
            (node, inner)
            for node in public
            if isinstance(node, ast.ClassDef)
            for inner in node.body
            if isinstance(inner, ast.FunctionDef) and not inner.name.startswith("_")
        ]
        silent += [f"{module}.{node.name}" for node in public if not ast.get_docstring(node)]
        silent += [f"{module}.{owner.name}.{node.name}" for owner, node in methods if not ast.get_docstring(node)]
    assert [name for name in silent if not name.endswith((".forward", ".backward"))] == []


def raised(node: ast.AST, caught: frozenset[str] = frozenset()) -> Iterator[str]:
    """The names of errors that leave a function by its own `raise`, not by those of functions inside of it."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.Lambda | ast.ClassDef):
            continue
        handlers = node.handlers if isinstance(node, ast.Try) and child in node.body else []
        types = [name.id for one in handlers if one.type for name in ast.walk(one.type) if isinstance(name, ast.Name)]
        inside = caught.union(types)
        if isinstance(child, ast.Raise) and child.exc:
            name = ast.unparse(child.exc.func if isinstance(child.exc, ast.Call) else child.exc)
            if name not in inside:
                yield name
        yield from raised(child, inside)


def names_error(text: str, name: str) -> bool:
    """Whether a docstring names an error or a class above it; a value that is raised needs a section `Raises:`."""
    known = {**vars(builtins), **vars(errors)}.get(name)
    above = [one.__name__ for one in known.__mro__[:-3]] if isinstance(known, type) else [name]  # without Exception
    text = re.sub(r"(?m)^\s*(>>>|\.\.\.) .*", "", text)
    return any(re.search(rf"\b{one}\b", text) for one in above) or (name.islower() and "Raises:" in text)


def test_what_raises_says_which_errors() -> None:
    """Functions of the command line are left out: their docstrings are help, and each error ends in one line."""
    silent, found = [], 0
    for module, tree in TREES.items():
        classes = [one for one in tree.body if isinstance(one, ast.ClassDef) and not one.name.startswith("_")]
        owned = [(ast.get_docstring(one) or "", node) for one in classes for node in one.body]
        for above, node in [*(("", node) for node in tree.body), *owned]:
            made = isinstance(node, ast.FunctionDef) and node.name in ("__init__", "__post_init__")
            if not isinstance(node, ast.FunctionDef) or (node.name.startswith("_") and not made):
                continue
            text = (ast.get_docstring(node) or "") + (above if made else "")
            names = set() if module.startswith("cli.") else set(raised(node))
            found += bool(names)
            silent += [f"{module}.{node.name}: {name}" for name in names if not names_error(text, name)]
    assert found > 100
    assert silent == []
