"""Which threats an attack or a defense works with."""

from __future__ import annotations

from typing import Any

from hashbench.errors import BadParameter
from hashbench.registry.entries import Choice, attacks
from hashbench.threat import Threat


def check_threat(choice: Choice[Any], threat: Threat) -> None:
    """Refuse a threat that an attack, the attack that it wraps, or a defense does not work with.

    Raises:
        BadParameter: it is such a threat; the message names those that it works with.
    """
    inner = [attacks[str(choice.params["attack"])]] if choice.entry.goal == "inner" else []
    for entry in (choice.entry, *inner):
        if threat.kind not in entry.threats:
            what = "a patch" if threat.kind == "patch" else f"norm {threat.norm}"
            raise BadParameter(f"{entry.name} does not work with {what}; it works with {' and '.join(entry.threats)}")
