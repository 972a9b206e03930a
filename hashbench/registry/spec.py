"""A registry name with its parameters, as written on the command line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from hashbench.errors import BadParameter

ESCAPED = r"\,"  # a comma of a value
COMMA = re.compile(r"(?<!\\),")


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
        found = read_parameters(rest, repr(text), f"{name}:parameter=value") if colon else {}
        return cls(name.strip(), found)

    def __str__(self) -> str:
        words = ",".join(f"{name}={value.replace(',', ESCAPED)}" for name, value in self.params.items())
        return f"{self.name}:{words}" if words else self.name


def read_parameters(text: str, within: str, form: str) -> dict[str, str]:
    r"""Read `parameter=value,parameter=value`; a comma that belongs to a value follows a backslash.

    Args:
        within: what messages call the text.
        form: how it is written, with an example.

    Raises:
        BadParameter: a part lacks `=`, or a parameter is given twice.

    >>> read_parameters(r"file=a\,b.pth,normalise=no", "it", "parameter=value")
    {'file': 'a,b.pth', 'normalise': 'no'}
    """
    found: dict[str, str] = {}
    for part in COMMA.split(text):
        key, equals, value = (piece.strip() for piece in part.replace(ESCAPED, ",").partition("="))
        if not (key and equals and value):
            comma = r", and \, for a comma of a value" if found and not equals else ""
            raise BadParameter(f"can't read {part!r} in {within}; write {form}{comma}")
        if key in found:
            raise BadParameter(f"parameter {key!r} is given twice in {within}; keep one")
        found[key] = value
    return found
