"""Presets: named sets of values for the parameters of an entry."""

from __future__ import annotations

from collections.abc import Mapping

from hashbench.errors import BadParameter
from hashbench.registry.parameters import Value

Presets = Mapping[str, Mapping[str, Value]]


def preset_values(presets: Presets, name: str | None, owner: str) -> Mapping[str, Value]:
    """The values of a preset; none without a name, and for `default`.

    Raises:
        BadParameter: there is no preset of this name.

    >>> preset_values({"quick": {"steps": 3}}, "quick", "attack 'mine'")
    {'steps': 3}
    """
    if name is None or name == "default":
        return {}
    if name not in presets:
        raise BadParameter(f"{owner} has no preset {name!r}; take one of {', '.join(['default', *presets])}")
    return presets[name]
