"""A registry name with its parameters, as written on the command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hashbench.errors import BadParameter


@dataclass(frozen=True)
class Spec:
    """A name and the parameters given with it, both still text."""

    name: str
    params: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> Spec:
        """Read `name` or `name:parameter=value,parameter=value`.

        Raises:
            BadParameter: the text lacks a name, a part lacks `=`, or a parameter is given twice.

        >>> Spec.parse("cgat:epochs=30, weight=3")
        Spec(name='cgat', params={'epochs': '30', 'weight': '3'})
        """
        name, colon, rest = text.partition(":")
        if not name.strip():
            raise BadParameter(f"{text!r} has no name; write NAME or NAME:parameter=value")
        params: dict[str, str] = {}
        for part in rest.split(",") if colon else []:
            key, equals, value = (piece.strip() for piece in part.partition("="))
            if not (key and equals and value):
                raise BadParameter(f"can't read {part!r} in {text!r}; write {name}:parameter=value")
            if key in params:
                raise BadParameter(f"parameter {key!r} is given twice in {text!r}; keep one")
            params[key] = value
        return cls(name.strip(), params)

    def __str__(self) -> str:
        words = ",".join(f"{name}={value}" for name, value in self.params.items())
        return f"{self.name}:{words}" if words else self.name
