"""The registries without importing torch, for commands that only read signatures: torch takes longest to import.

Libraries for arrays and networks are replaced by stand-ins while the entries' modules are imported, as documentation
tools do. Nothing that was imported in this way stays loaded.
"""

from __future__ import annotations

import importlib
import sys
from abc import ABCMeta
from collections.abc import Iterator, MutableSequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.metadata import entry_points
from types import ModuleType
from typing import Any

HEAVY = ("torch", "torchvision", "scipy", "sklearn", "safetensors", "PIL")


@contextmanager
def registries(*, whole: bool = False) -> Iterator[ModuleType]:
    """The module `registry.entries` with all entries, whose functions can be inspected but not called.

    Args:
        whole: import everything for real, as for plugins, about which nothing is known.
    """
    if whole or "torch" in sys.modules or entry_points(group="hashbench.plugins"):
        yield importlib.import_module("hashbench.registry.entries")
        return
    before, finder = set(sys.modules), _Finder()
    sys.meta_path.insert(0, finder)
    try:
        importlib.import_module("hashbench.registry.plugins").load_all()
        yield importlib.import_module("hashbench.registry.entries")
    finally:
        sys.meta_path.remove(finder)
        _forget(set(sys.modules) - before)


def _forget(names: set[str]) -> None:
    """Remove our own modules and the stand-ins, so that the next import loads the real ones."""
    for name in names:
        if name.partition(".")[0] in ("hashbench", *HEAVY):
            del sys.modules[name]
            parent, _, child = name.rpartition(".")
            vars(sys.modules.get(parent, ModuleType(parent))).pop(child, None)


class _Kind(ABCMeta):
    """Makes classes of which every attribute is such a class in turn."""

    def __getattr__(cls, name: str) -> Any:
        return _stand_in(name)

    def __getitem__(cls, key: object) -> Any:
        return cls


class _StandIn(metaclass=_Kind):
    """Accepts any arguments; as a decorator it returns what it decorates."""

    def __init__(self, *args: Any, **named: Any) -> None:
        del args, named

    def __call__(self, decorated: Any) -> Any:
        return decorated


class _Module(ModuleType):
    __path__: MutableSequence[str] = []  # noqa: RUF012

    def __getattr__(self, name: str) -> Any:
        return _stand_in(name)


def _stand_in(name: str) -> Any:
    if name.startswith("_"):
        raise AttributeError(name)
    return _Kind(name, (_StandIn,), {})


class _Finder(MetaPathFinder, Loader):
    """Answers every import of a heavy library with an empty module."""

    def find_spec(self, fullname: str, path: object, target: object = None) -> ModuleSpec | None:
        heavy = fullname.partition(".")[0] in HEAVY
        return ModuleSpec(fullname, self, is_package=True) if heavy else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Module(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Leave it empty."""
