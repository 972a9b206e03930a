"""Functions of a notebook as plugin files: what the command line and other processes can load, under a key of its own.

A function of a notebook has no file, so neither the process that makes a model again nor a worker could have it, and
its text could change without a new key. It is written into a file with whatever it uses.
"""

from __future__ import annotations
import __future__

import ast
import dataclasses
import inspect
import re
import symtable
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import hashbench
from hashbench.digests import digest
from hashbench.errors import BadInput, StoreUnusable
from hashbench.registry import entries, plugins
from hashbench.registry.entries import NOTEBOOK
from hashbench.registry.entry import Entry
from hashbench.registry.spec import Spec

HOME = Path(str(hashbench.__file__)).parent
Named = str | Callable[..., Any]  # a name with parameters, or a registered function


def name_of(given: Named, kind: str) -> str:
    """The text that stands for a registered function; a text is returned unchanged.

    Args:
        kind: attack, defense, method, backbone or data set.

    Raises:
        BadInput: it is neither a text nor a registered function.
    """
    if isinstance(given, str):
        return given
    (registry,) = (registry for registry in entries.REGISTRIES if registry.kind == kind)
    for entry in registry:
        if given is entry.function or (callable(given) and inspect.unwrap(given) is inspect.unwrap(entry.function)):
            return entry.name
    what = getattr(given, "__name__", repr(given))
    decorator = kind.replace(" ", "")
    raise BadInput(f"{what} is no registered {kind}; decorate the function: @hashbench.{decorator}('NAME')")


@contextmanager
def plugins_of(names: Mapping[str, Sequence[str]], files: Sequence[Path], folder: Path) -> Iterator[tuple[Path, ...]]:
    """Run a block with plugin files loaded, and functions of a notebook or of a module beside it among them.

    The registries are as before afterwards. Yields the files that other processes need.

    Args:
        names: texts by the kind of what they name.
        files: plugin files that the user names.
        folder: where files of a notebook's functions are written.

    Raises:
        BadInput: a function uses what can't be written into a file.
        PluginError: a file can't be loaded.
        StoreUnusable: the folder can't be written.
    """
    plugins.load_all()
    plugins.forget_code()  # plugins of an earlier call are gone, and their files may hold other code now
    with entries.restored():
        wanted = {(kind, Spec.parse(text).name) for kind, texts in names.items() for text in texts}
        own = list[Path]()
        for registry in entries.REGISTRIES:
            for entry in [entry for entry in registry if entry.module == NOTEBOOK]:
                try:
                    own.append(_written(entry, folder))
                except BadInput:
                    if (registry.kind, entry.name) in wanted:
                        raise
                    continue
                registry.remove(entry.name)
            for entry in [entry for entry in registry if (registry.kind, entry.name) in wanted]:
                path = _beside(entry)
                if path is not None and path not in own:
                    own.append(path)
                    for group in entries.REGISTRIES:
                        for other in [other for other in group if other.module == entry.module]:
                            group.remove(other.name)
        for path in (*files, *own):
            entries.load_plugin(path)
        yield (*files, *own)


def _beside(entry: Entry[Any]) -> Path | None:
    """The file of a user's own module that a notebook imports; None for hashbench's, installed ones and plugins."""
    module = entry.module
    path = entry.file
    if "." in module or plugins.is_file_of_user(module) or not path.is_file():
        return None
    return None if any(place in path.parents for place in (HOME, *plugins.INSTALLED)) else path


def _written(entry: Entry[Any], folder: Path) -> Path:
    text = plugin_text(inspect.unwrap(entry.function))
    stem = re.sub(r"\W+", "_", entry.name)
    path = folder / f"{stem}_{digest(text)[:8]}.py"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StoreUnusable(f"can't write {path} ({error.strerror}); choose another folder with store=") from None
    return path


def plugin_text(function: FunctionType) -> str:
    """A function of a notebook as a file of its own, with the imports, functions and plain values that it uses.

    Raises:
        BadInput: its text is not known, or it uses something else.
    """
    found = _Gathered(function.__name__, function.__globals__)
    found.take(function)
    future = "from __future__ import annotations\n\n"
    annotated = function.__code__.co_flags & __future__.annotations.compiler_flag
    return (future if annotated else "") + "\n".join(sorted(found.imports)) + "\n\n" + "\n\n".join(found.parts) + "\n"


@dataclasses.dataclass
class _Gathered:
    """The parts of a file, in an order in which each is defined before it is used."""

    owner: str
    known: Mapping[str, Any]
    imports: set[str] = dataclasses.field(default_factory=set)
    parts: list[str] = dataclasses.field(default_factory=list)
    seen: set[str] = dataclasses.field(default_factory=set)

    def take(self, thing: Any) -> None:
        """Add a function or a class of the notebook, after what it uses."""
        self.seen.add(thing.__name__)
        if getattr(thing, "__closure__", None):
            raise self._refused(thing.__name__, "has values of the function around it; define it outside")
        try:
            source = textwrap.dedent(inspect.getsource(thing))
        except (OSError, TypeError):
            raise self._refused(thing.__name__, "has no text to be read") from None
        for name in sorted(_globals_of(source)):
            if name in self.known and name not in self.seen:
                self._need(name, self.known[name])
        self.parts.append(source.rstrip("\n"))

    def _need(self, name: str, value: Any) -> None:
        self.seen.add(name)
        if isinstance(value, ModuleType):
            self.imports.add(f"import {value.__name__} as {name}" if value.__name__ != name else f"import {name}")
        elif isinstance(value, type | FunctionType) and value.__module__ == NOTEBOOK:
            self.take(value)
        elif (text := _plain(value)) is not None:
            self.parts.append(f"{name} = {text}")
        elif dataclasses.is_dataclass(value) and not isinstance(value, type):
            self._need_made(name, value)
        elif (place := _home(name, value)) is not None:
            self.imports.add(place)
        else:
            raise self._refused(name, f"is a {type(value).__name__}")

    def _need_made(self, name: str, value: Any) -> None:
        """A value such as a Recipe, made again from its fields."""
        fields = {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value) if field.init}
        made = type(value).__name__
        if None in fields.values():
            raise self._refused(name, f"is a {made} of other than plain values")
        if made not in self.seen:
            self._need(made, type(value))
        self.parts.append(f"{name} = {made}({', '.join(f'{field}={text}' for field, text in fields.items())})")

    def _refused(self, name: str, why: str) -> BadInput:
        return BadInput(
            f"{self.owner} can't be written into a file: {name} {why}; put the function into a file of its own and "
            "give plugins=['FILE.py']"
        )


def _globals_of(source: str) -> set[str]:
    """The names that a source takes from around it."""
    found = set[str]()
    waiting = [symtable.symtable(source, "notebook", "exec")]
    while waiting:
        table = waiting.pop()
        waiting += table.get_children()
        outer = table.get_type() == "module"
        found |= {s.get_name() for s in table.get_symbols() if s.is_referenced() and (outer or s.is_global())}
    return found


def _plain(value: Any) -> str | None:
    """The text of a plain value, the same in every process; None for anything else."""
    try:
        text = _sorted_text(value)
        return text if ast.literal_eval(text) == value else None
    except (ValueError, SyntaxError, TypeError, RecursionError, RuntimeError):
        return None


def _sorted_text(value: Any) -> str:
    """As `repr`, but with the items of sets sorted by their text: their own order is another one in each process."""
    if type(value) is dict:
        return "{" + ", ".join(f"{_sorted_text(key)}: {_sorted_text(held)}" for key, held in value.items()) + "}"
    if type(value) not in (set, list, tuple) or not value:
        return repr(value)
    texts = [_sorted_text(item) for item in value]
    if isinstance(value, set):
        return "{" + ", ".join(sorted(texts)) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(texts) + "]"
    return "(" + ", ".join(texts) + ("," if len(texts) == 1 else "") + ")"


def _home(name: str, value: Any) -> str | None:
    """The import that gives a name its value; None if there is none."""
    own = str(getattr(value, "__module__", ""))
    called = str(getattr(value, "__qualname__", name))
    for module, attribute in [(own, called), *((module, name) for module in sorted(sys.modules, key=_by_depth))]:
        held = sys.modules.get(module)
        passing = module.startswith("_") or plugins.is_file_of_user(module)  # of this process only
        if passing or held is None or not attribute.isidentifier():
            continue
        if vars(held).get(attribute) is value:
            return f"from {module} import {attribute}" + (f" as {name}" if attribute != name else "")
    return None


def _by_depth(module: str) -> tuple[int, str]:
    return module.count("."), module
