"""Finds the modules that fill the registries: our own, those of installed packages, and a user's file."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import pkgutil
import sys
from importlib import metadata
from pathlib import Path
from types import ModuleType

from hashbench.errors import HashbenchError, PluginError
from hashbench.seeds import derive_seed

PACKAGES = ("attacks", "backbones", "datasets", "defenses", "methods")
ENTRY_POINTS = "hashbench.plugins"
FILE_PREFIX = "hashbench_plugin_"  # begins the names of modules that are a user's files


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


def _one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
