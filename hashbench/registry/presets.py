"""Presets: named sets of values for the parameters of an entry."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from hashbench.errors import BadParameter, PluginError
from hashbench.registry.parameters import Value, suggestion

Presets = Mapping[str, Mapping[str, Value]]


def check_presets(presets: Presets, known: Collection[str], owner: str) -> None:
    """Refuse presets that set what is not a parameter.

    Args:
        known: the entry's parameters.
        owner: the entry, in messages.

    Raises:
        PluginError: a preset has a value for another name.
    """
    for name, values in presets.items():
        if unknown := sorted(values.keys() - set(known)):
            raise PluginError(
                f"the preset {name!r} of {owner} sets {unknown[0]!r}, which is not one of its parameters"
                f"{suggestion(unknown[0], known)}"
            )


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
