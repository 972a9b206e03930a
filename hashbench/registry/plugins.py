"""Finds the modules that fill the registries: our own, those of installed packages, and a user's file."""

from __future__ import annotations

import ast
import functools
import importlib
import importlib.util
import pkgutil
import sys
import sysconfig
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from types import ModuleType

from hashbench.digests import code_digest, digest
from hashbench.errors import HashbenchError, PluginError
from hashbench.seeds import derive_seed

PACKAGES = ("attacks", "backbones", "datasets", "defenses", "methods")
ENTRY_POINTS = "hashbench.plugins"
FILE_PREFIX = "hashbench_plugin_"  # begins the names of modules that are a user's files
INSTALLED = tuple({Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")})


@functools.cache
def load_all() -> None:
    """Import every module of our own packages and every installed plugin; only once.

    Raises:
        PluginError: an installed plugin can't be imported.
    """
    for name in PACKAGES:
        package = importlib.import_module(f"hashbench.{name}")
        for module in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"hashbench.{name}.{module.name}")
    for point in metadata.entry_points(group=ENTRY_POINTS):
        try:
            point.load()
        except HashbenchError:
            raise
        except Exception as error:
            owner = point.dist.name if point.dist else point.value
            raise PluginError(
                f"the installed plugin {point.name!r} of {owner} can't be imported "
                f"({_one_line(error)}); repair it or run 'pip uninstall {owner}'"
            ) from error


def load_file(path: Path) -> ModuleType:
    """Run a plugin file that the user names.

    Raises:
        PluginError: there is no such file, or it can't be imported.
    """
    if not path.is_file():
        raise PluginError(f"there is no plugin file {path}; give the path of a Python file")
    name = f"{FILE_PREFIX}{path.stem}_{derive_seed(path.resolve()):x}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise PluginError(f"{path} is not a Python file; the name of a plugin ends in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except HashbenchError:
        raise
    except (Exception, SystemExit) as error:
        where = f", line {error.lineno}" if isinstance(error, SyntaxError) else ""
        raise PluginError(
            f"the plugin {path} can't be imported ({_one_line(error)}{where}); 'python {path}' shows the full traceback"
        ) from error
    return module


def is_file_of_user(module: str) -> bool:
    """Whether a module, judged by its name, was loaded by `load_file`.

    >>> is_file_of_user("hashbench.attacks.hag")
    False
    """
    return module.startswith(FILE_PREFIX)


def users_code(module: str, path: Path) -> str:
    """The digest of a user's code: a file's, with those of the modules of the user that it imports.

    Empty for code that its version stands for: hashbench's own and that of installed packages.

    Args:
        module: the name of the module that the file is.
    """
    return _users_code(module, path) if is_file_of_user(module) or _is_users(module, str(path)) else ""


def forget_code() -> None:
    """Read code again where it is asked for: files may hold other code now."""
    code_digest.cache_clear()
    _users_code.cache_clear()


@functools.cache
def _users_code(module: str, path: Path) -> str:
    found, waiting = {"": path}, [(module, path)]
    while waiting:
        for name, file in _imported(*waiting.pop()):
            if _is_users(name, file) and Path(file) not in found.values():
                found[name] = Path(file)
                waiting.append((name, Path(file)))
    alone = code_digest(path)
    return alone if len(found) == 1 else digest({name: code_digest(file) for name, file in found.items()})


def _imported(module: str, path: Path) -> Iterator[tuple[str, str]]:
    """The modules that a file imports, with their files."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        for name in names:
            parts = name.split(".")
            for length in range(1, len(parts) + 1):
                part = ".".join(parts[:length])
                if file := _file_of(part):
                    yield part, file


def _file_of(module: str) -> str:
    """The file of a module that is or could be imported; empty where there is none."""
    if module in sys.modules:
        return getattr(sys.modules[module], "__file__", None) or ""
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, AttributeError, ValueError):
        return ""
    return (spec.origin or "") if spec else ""


def _is_users(module: str, file: str) -> bool:
    root = module.partition(".")[0]
    path = Path(file)
    if root in {"hashbench", "__main__", *_installed_plugins()} or path.suffix != ".py" or not path.is_file():
        return False
    return not any(place in path.parents for place in INSTALLED)


@functools.cache
def _installed_plugins() -> frozenset[str]:
    """The top packages of installed plugins, which may be installed where they are edited."""
    return frozenset(point.module.partition(".")[0] for point in metadata.entry_points(group=ENTRY_POINTS))


def _one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
