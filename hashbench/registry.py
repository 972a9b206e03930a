"""The registries: what a name stands for, with its paper and its parameters."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, Literal, TypeVar

from hashbench import plugins
from hashbench.errors import BadParameter, PluginError, UnknownName
from hashbench.fingerprint import digest, source_digest
from hashbench.guard import guarded
from hashbench.parameters import Value, arguments, format_value, parameters, resolve, suggestion
from hashbench.protocols import Attack, Backbone, Dataset, Defense, MethodFactory
from hashbench.spec import Spec

F = TypeVar("F", bound=Callable[..., Any])
Grid = Mapping[str, Sequence[Value]]


@dataclass(frozen=True)
class Entry(Generic[F]):
    """A registered function with what is known of it."""

    name: str
    function: F
    paper: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    check: Callable[..., None] | None = None
    needs: Callable[..., str] | None = None
    presets: Mapping[str, Mapping[str, Value]] = field(default_factory=dict)
    grid: Grid = field(default_factory=dict)

    @property
    def summary(self) -> str:
        """The first sentence of the function's docstring."""
        text = inspect.getdoc(self.function) or ""
        return text.partition("\n\n")[0].replace("\n", " ")

    @property
    def module(self) -> str:
        """The module that defines the function."""
        return str(inspect.unwrap(self.function).__module__)

    @property
    def source(self) -> str:
        """A digest of the code in the function's file and in siblings it imports, comments and docstrings aside."""
        return source_digest(Path(inspect.unwrap(self.function).__code__.co_filename))


@dataclass(frozen=True)
class Choice(Generic[F]):
    """An entry with a value for each of its parameters: what a word of the command line became.

    `tuned` is the digest of the trials that its values were chosen from; empty where they are given or defaults.
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
        """The parameters that are part of its identity: a file by its content, a folder not at all."""
        known = parameters(self.entry.function)
        return {p.name: p.identify(self.params[p.name]) for p in known if p.visible(self.params[p.name])}

    @property
    def label(self) -> str:
        """The name with the parameters that differ from their defaults: unique in a table."""
        defaults = {p.name: p.default for p in parameters(self.entry.function)}
        changed = [f"{k}={format_value(v)}" for k, v in self.visible.items() if v != defaults[k]]
        return self.name + (":" + ",".join(changed) if changed else "")

    @property
    def goal(self) -> str:
        """What an attack aims at; that of the attack inside for one that wraps another.

        Raises:
            BadParameter: the attack inside has no white access.
        """
        goal = self.entry.tags.get("goal", "")
        if goal != "inner":
            return goal
        inner = attacks[str(self.params["attack"])]
        if inner.tags["access"] != "white":
            raise BadParameter(f"attack {self.name!r} can't craft with {inner.name!r}; name one with white access")
        return inner.tags["goal"]

    @property
    def source(self) -> str:
        """A digest of the code of the entry and of the entries that its parameters name."""
        named = [registry[str(self.params[registry.kind])] for registry in REGISTRIES if registry.kind in self.params]
        return digest([self.entry.source, *(entry.source for entry in named)])

    def call(self, *args: Any) -> Any:
        """Call the function with its parameters."""
        return self.entry.function(*args, **arguments(self.entry.function, self.params))

    def check(self, *args: Any) -> None:
        """Refuse what the function could not carry out, before anything is trained.

        Raises:
            UsageError: with the reason.
        """
        if self.entry.check:
            self.entry.check(*args, **arguments(self.entry.function, self.params))

    @property
    def needs(self) -> str:
        """What the function would still have to fetch, for people; empty if nothing."""
        return self.entry.needs(**self.params) if self.entry.needs else ""


class Registry(Generic[F]):
    """Entries by name, filled by importing the modules that hold them."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, Entry[F]] = {}

    def add(self, entry: Entry[F]) -> None:
        """Register an entry.

        Raises:
            PluginError: the name is taken, or a parameter can't be read from the command line.
        """
        taken = self._entries.get(entry.name)
        if taken:
            raise PluginError(
                f"{entry.module} registers the {self.kind} {entry.name!r}, which {taken.module} "
                "already has; give it a name of its own"
            )
        parameters(entry.function)
        self._entries[entry.name] = entry

    def __getitem__(self, name: str) -> Entry[F]:
        """The entry of a name.

        Raises:
            UnknownName: there is none; the message names the nearest.
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

        The word preset=NAME stands for the values that the entry lists under that name; values given
        beside it win. A parameter called `attack`, `method` or `backbone` names another entry.

        Raises:
            UnknownName: no entry, or none that a parameter names, has that name.
            BadParameter: a parameter is unknown, unreadable or out of range.
        """
        entry = self[spec.name]
        owner = f"{self.kind} {spec.name!r}"
        words = dict(spec.params)
        preset = _preset(entry, words.pop("preset", None), owner)
        params = resolve(entry.function, words, owner)
        params |= {name: value for name, value in preset.items() if name not in words}
        choice = Choice(entry, params)
        _ = choice.source, choice.goal  # refuse names that nothing has, and attacks that can't be wrapped
        return choice


attacks: Registry[Attack] = Registry("attack")
backbones: Registry[Backbone] = Registry("backbone")
datasets: Registry[Dataset] = Registry("data set")
defenses: Registry[Defense] = Registry("defense")
methods: Registry[MethodFactory] = Registry("method")
REGISTRIES: tuple[Registry[Any], ...] = (attacks, defenses, methods, backbones, datasets)


def load_plugin(path: Path) -> ModuleType:
    """Load a plugin file that the user names.

    Raises:
        PluginError: it can't be imported, or it registers nothing.
    """
    plugins.load_all()
    before = _total()
    module = plugins.load_file(path)
    if _total() == before:
        raise PluginError(
            f"the plugin {path} registers nothing; mark a function with a decorator of hashbench, "
            "such as @hashbench.attack('my-attack')"
        )
    return module


def choose_clean(function: Callable[..., Any], text: str) -> Choice[Any]:
    """The clean training, a function outside the registries, with parameters from the command line.

    Raises:
        BadParameter: a parameter is unknown, unreadable or out of range.
    """
    spec = Spec.parse(f"clean:{text}" if text else "clean")
    return Choice(Entry("clean", function), resolve(function, spec.params, "--training"))


def attack(
    name: str,
    *,
    goal: Literal["untargeted", "targeted", "inner"] = "untargeted",
    access: Literal["none", "white", "score", "decision", "transfer"] = "white",
    paper: str = "",
    presets: Mapping[str, Mapping[str, Value]] | None = None,
) -> Callable[[Attack], Attack]:
    """Register an attack: a function of a victim and a threat that returns a crafting function.

    Both run with the victim in eval mode and its weights frozen; both are restored afterwards. An
    attack without white access gets a victim that answers with binary codes only.

    Args:
        goal: `targeted` attacks find `queries.targets`; `inner`: the goal of the attack that the
            parameter `attack` names.
        presets: named sets of parameter values: `paper` for those of the publication, `quick` for
            the cheapest that show that the attack runs.
    """

    def register(function: Attack) -> Attack:
        prepare = guarded(function, sees_weights=access == "white")
        attacks.add(Entry(name, prepare, paper, {"goal": goal, "access": access}, presets=presets or {}))
        return prepare

    return register


def defense(
    name: str,
    *,
    trains: bool = True,
    transforms: bool = False,
    paper: str = "",
    check: Callable[..., None] | None = None,
    grid: Grid | None = None,
) -> Callable[[Defense], Defense]:
    """Register a defense: a function that makes a defended model from a trained one.

    A defense that `trains` must return a model of the same architecture, whose weights are kept;
    one that does not is applied anew each time. One that `transforms` puts a `Transformed` before the
    network; it is also attacked by someone who does not know of it. `check` is called with an untrained
    model and the defense's parameters before anything is trained, and raises a UsageError if it can't work.
    `grid` holds the values of the parameters that `hashbench tune` tries, all combinations of them.
    """

    def register(function: Defense) -> Defense:
        tags = {"trains": "yes" if trains else "no", "transforms": "yes" if transforms else "no"}
        defenses.add(Entry(name, function, paper, tags, check=check, grid=grid or {}))
        return function

    return register


def method(name: str, *, paper: str = "") -> Callable[[MethodFactory], MethodFactory]:
    """Register a hashing method."""
    return _adder(methods, name, paper)


def backbone(name: str, *, paper: str = "", needs: Callable[..., str] | None = None) -> Callable[[Backbone], Backbone]:
    """Register a backbone; `needs` takes its parameters and says what it would have to fetch, if anything."""

    def register(function: Backbone) -> Backbone:
        backbones.add(Entry(name, function, paper, needs=needs))
        return function

    return register


def dataset(name: str, *, paper: str = "") -> Callable[[Dataset], Dataset]:
    """Register a data set. A parameter `root` names a folder and is no part of the data's identity."""
    return _adder(datasets, name, paper)


def _adder(registry: Registry[F], name: str, paper: str) -> Callable[[F], F]:
    def register(function: F) -> F:
        registry.add(Entry(name, function, paper))
        return function

    return register


def _total() -> int:
    return sum(len(list(registry)) for registry in REGISTRIES)


def _preset(entry: Entry[Any], name: str | None, owner: str) -> Mapping[str, Value]:
    if name is None or name == "default":
        return {}
    if name not in entry.presets:
        listed = ", ".join(["default", *entry.presets])
        raise BadParameter(f"{owner} has no preset {name!r}; take one of {listed}")
    return entry.presets[name]
