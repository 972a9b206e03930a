"""The registries: what a name stands for, with its paper, its version and its parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Generic

from hashbench.errors import BadParameter, PluginError, UnknownName
from hashbench.models.helpers import Version
from hashbench.registry import plugins
from hashbench.registry.entry import PRESET, Entry, F, Goal
from hashbench.registry.parameters import Value, arguments, format_value, parameters, resolve, suggestion, typed
from hashbench.registry.protocols import Attack, Backbone, Dataset, Defense, MethodFactory
from hashbench.registry.registration import check_entry
from hashbench.registry.spec import Spec, read_parameters
from hashbench.registry.tracks import access_of

CLEAN_TRAINING = "clean"  # the name of the undefended training in tables
NOTEBOOK = "__main__"  # the module of functions that are typed rather than imported


@dataclass(frozen=True)
class Choice(Generic[F]):
    """An entry with a value for each of its parameters: what a name on the command line stands for.

    `tuned` is the digest of the trials that its values were chosen from; empty if they are given or defaults.
    """

    entry: Entry[F]
    params: Mapping[str, Value]
    tuned: str = ""

    @property
    def name(self) -> str:
        """The entry's name."""
        return self.entry.name

    @property
    def visible(self) -> dict[str, Value]:
        """The parameters that are part of its identity: files by their content, folders not at all."""
        known = parameters(self.entry.function)
        return {p.name: p.identify(self.params[p.name]) for p in known if p.visible(self.params[p.name])}

    @property
    def label(self) -> str:
        """The name with the parameters that differ from their defaults: unique in a table."""
        defaults = {p.name: p.default for p in parameters(self.entry.function)}
        return str(Spec(self.name, {k: format_value(v) for k, v in self.visible.items() if v != defaults[k]}))

    @property
    def access(self) -> str:
        """What results say of an attack's access."""
        return access_of(self.entry.access, self.params)

    @property
    def goal(self) -> Goal:
        """What an attack aims at; for an attack that wraps another one, the goal of that one.

        Raises:
            BadParameter: the wrapped attack does not have white access.
        """
        if self.entry.goal != "inner":
            return self.entry.goal
        inner = attacks[str(self.params["attack"])]
        if inner.access != "white":
            raise BadParameter(f"attack {self.name!r} can't craft with {inner.name!r}; name one with white access")
        return inner.goal

    def versions(self, role: str) -> dict[str, Version]:
        """The version of the entry under the name of its role, and those of entries that its parameters name.

        Raises:
            UnknownName: a parameter names an entry that does not exist.
        """
        named = {
            registry.kind: registry[str(self.params[registry.kind])]
            for registry in REGISTRIES
            if registry.kind in self.params
        }
        inner = {f"{role}.{kind}": entry.stamp for kind, entry in named.items()}
        used = [raised_versions(entry, role) for entry in (*named.values(), self.entry)]
        return {role: self.entry.stamp, **inner, **{place: stamp for found in used for place, stamp in found.items()}}

    def call(self, *args: Any) -> Any:
        """Call the function with its parameters."""
        return self.entry.function(*args, **arguments(self.entry.function, self.params))

    def check(self, *args: Any) -> None:
        """Refuse what the function can't carry out, before anything is trained.

        Raises:
            UsageError: the function can't work with its parameters; the message gives the reason.
        """
        if self.entry.check:
            self.entry.check(*args, **arguments(self.entry.function, self.params))

    @property
    def needs(self) -> str:
        """What still has to be downloaded for the function, for people to read; empty if nothing."""
        return self.entry.needs(**self.params) if self.entry.needs else ""


class Registry(Generic[F]):
    """Entries by name, filled by importing the modules that hold them."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, Entry[F]] = {}

    def add(self, entry: Entry[F]) -> None:
        """Register an entry.

        Raises:
            PluginError: the name is taken, a parameter can't be read, or `check_entry` refuses what it says.
        """
        taken = self._entries.get(entry.name)
        if taken and not taken.module == entry.module == NOTEBOOK:  # a cell of a notebook may run again
            raise PluginError(
                f"{entry.module} registers the {self.kind} {entry.name!r}, which {taken.module} "
                "already has; give it a name of its own"
            )
        check_entry(self.kind, entry)
        self._entries[entry.name] = entry

    def remove(self, name: str) -> None:
        """Take an entry out; see `restored`."""
        del self._entries[name]

    def __getitem__(self, name: str) -> Entry[F]:
        """The entry of a name.

        Raises:
            UnknownName: nothing has this name; the message suggests the nearest one.
        """
        plugins.load_all()
        if name not in self._entries:
            raise UnknownName(f"no {self.kind} is named {name!r}{suggestion(name, self._entries)}")
        return self._entries[name]

    def __iter__(self) -> Iterator[Entry[F]]:
        plugins.load_all()
        return iter(sorted(self._entries.values(), key=lambda entry: entry.name))

    def choose(self, spec: Spec) -> Choice[F]:
        """The entry that a spec names, with all its parameters as values.

        preset=NAME stands for the values that the entry lists under that name; values given explicitly take
        precedence. A parameter called `attack`, `method` or `backbone` names another entry.

        Raises:
            UnknownName: the spec, or one of its parameters, names an entry that does not exist.
            BadParameter: a parameter is unknown, unreadable or out of range.
            MissingData: a parameter names a file that is not there.
        """
        entry = self[spec.name]
        owner = f"{self.kind} {spec.name!r}"
        words = dict(spec.params)
        preset = entry.preset(words.pop(PRESET, None), owner)
        params = resolve(entry.function, words, owner)
        kinds = {parameter.name: parameter.kind for parameter in parameters(entry.function)}
        params |= {name: typed(kinds[name], value) for name, value in preset.items() if name not in words}
        choice = Choice(entry, params)
        _ = choice.versions(self.kind), choice.goal  # refuse unknown names, and attacks that can't be wrapped
        return choice


attacks: Registry[Attack] = Registry("attack")
backbones: Registry[Backbone] = Registry("backbone")
datasets: Registry[Dataset] = Registry("data set")
defenses: Registry[Defense] = Registry("defense")
methods: Registry[MethodFactory] = Registry("method")
REGISTRIES: tuple[Registry[Any], ...] = (attacks, defenses, methods, backbones, datasets)


@contextmanager
def restored() -> Iterator[None]:
    """Run a block after which the registries hold what they held before."""
    plugins.load_all()
    before = [dict(registry._entries) for registry in REGISTRIES]
    try:
        yield
    finally:
        for registry, known in zip(REGISTRIES, before, strict=True):
            registry._entries = known


def entry_of(kind: str, name: str) -> Entry[Any] | None:
    """The entry of a kind that has a name; None where nothing has it.

    Args:
        kind: attack, defense, method, backbone or dataset.
    """
    (registry,) = (registry for registry in REGISTRIES if registry.kind.replace(" ", "") == kind)
    return next((entry for entry in registry if entry.name == name), None)


def stamp_of(kind: str, name: str) -> Version | None:
    """The stamp of the entry of a kind that has a name; None where nothing has it."""
    entry = entry_of(kind, name)
    return entry.stamp if entry else None


def raised_versions(entry: Entry[Any], role: str) -> dict[str, Version]:
    """The versions of the entries that an entry uses, under names that begin with its role, where they are above 1."""
    stamps = {f"{role}.uses.{kind}.{name}": stamp_of(kind, name) for kind, name in entry.uses}
    return {place: stamp for place, stamp in stamps.items() if stamp not in (1, None)}


def load_plugin(path: Path) -> ModuleType:
    """Load a plugin file that the user names.

    Raises:
        PluginError: the file can't be imported, or it registers nothing.
    """
    plugins.load_all()
    before = _total()
    module = plugins.load_file(path)
    if _total() == before:
        example = "mark a function with a decorator of hashbench, such as @hashbench.attack('my-attack')"
        raise PluginError(f"the plugin {path} registers nothing; {example}")
    return module


def choose_clean(function: Callable[..., Any], text: str) -> Choice[Any]:
    """The clean training, which is not in a registry, with parameters from the command line.

    Args:
        text: parameters, alone or as in tables: `epochs=30`, `clean:epochs=30`, `clean`.

    Raises:
        BadParameter: a parameter is unknown, unreadable or out of range.
    """
    name, _, rest = text.partition(":")
    words = rest if name.strip() == CLEAN_TRAINING else text
    given = read_parameters(words, "--training", "parameter=value, such as epochs=30") if words.strip() else {}
    return Choice(Entry(CLEAN_TRAINING, function), resolve(function, given, "--training"))


def _total() -> int:
    return sum(len(list(registry)) for registry in REGISTRIES)
