"""One registered function with what is known about it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from hashbench.errors import BadParameter
from hashbench.models.helpers import Version
from hashbench.registry import plugins
from hashbench.registry.parameters import Value
from hashbench.threat import KINDS

F = TypeVar("F", bound=Callable[..., Any])
Goal = Literal["untargeted", "targeted", "inner"]
Access = Literal["none", "white", "decision", "transfer", "ranking"]
Grid = Mapping[str, Sequence[Value]]
Presets = Mapping[str, Mapping[str, Value]]
PRESET, DEFAULT = "preset", "default"  # the word that names a preset; the name of the values without one


@dataclass(frozen=True)
class Entry(Generic[F]):
    """A registered function with what is known about it.

    Attributes:
        version: raised whenever the same parameters give different digits.
        goal: what an attack aims at.
        access: what an attack knows of the victim.
        threats: the kinds of threats that an attack or a defense works with.
        trains: whether a defense trains new weights for the given architecture.
        transforms: whether a defense puts a transformation before the network.
        check: refuses a model and parameters before anything is trained.
        needs: says what has to be downloaded for the given parameters.
        uses: kinds and names of other entries that its function calls by itself, not because a parameter names them.
        presets: named sets of parameter values.
        grid: the parameter values that tuning tries.
    """

    name: str
    function: F
    paper: str = ""
    version: int = 1
    goal: Goal = "untargeted"
    access: Access = "white"
    threats: tuple[str, ...] = KINDS
    trains: bool = True
    transforms: bool = False
    check: Callable[..., None] | None = None
    needs: Callable[..., str] | None = None
    uses: Sequence[tuple[str, str]] = ()
    presets: Presets = field(default_factory=dict)
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
    def file(self) -> Path:
        """The file that holds its function."""
        return Path(inspect.unwrap(self.function).__code__.co_filename)

    @property
    def stamp(self) -> Version:
        """What represents the entry's code in the keys of results: its version.

        A user's own code is still under development, so for it the digest of the code is added.
        """
        code = plugins.users_code(self.module, self.file)
        return f"{self.version}+{code}" if code else self.version

    def preset(self, name: str | None, owner: str) -> Mapping[str, Value]:
        """The values of a preset; none without a name, and for `default`.

        Args:
            owner: the entry, in messages.

        Raises:
            BadParameter: there is no preset of this name.
        """
        if name is None or name == DEFAULT:
            return {}
        if name not in self.presets:
            raise BadParameter(f"{owner} has no preset {name!r}; take one of {', '.join([DEFAULT, *self.presets])}")
        return self.presets[name]
