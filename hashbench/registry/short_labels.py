"""Names for people: of defenses, with the values of a preset written as the preset, and of cells."""

from __future__ import annotations

from hashbench.errors import BadParameter, UsageError
from hashbench.registry.entries import defenses, entry_of
from hashbench.registry.spec import Spec

NONE = "none"  # what has no defense, and queries without an attack, in tables and options


def defense_name(label: str) -> str:
    """A defense's label for people.

    >>> defense_name("none"), defense_name("cgat:weight=3")
    ('undefended', 'cgat:weight=3')
    """
    return "undefended" if label == NONE else label


def cell_name(defense: str, attack: str) -> str:
    """The labels of a cell for people.

    >>> cell_name("none", "noise"), cell_name("cgat", "none")
    ('undefended under noise', 'cgat, clean queries')
    """
    return f"{defense_name(defense)}, clean queries" if attack == NONE else f"{defense_name(defense)} under {attack}"


def with_preset(label: str) -> str:
    """The shortest way to name a defense's row by a preset whose values it has; the label itself where none is shorter.

    >>> with_preset("cgat:learning_rate=0.04,optimiser=adamw,weight_decay=0.1,reach=1.5,cutmix=0.25,weight=9")
    'cgat:preset=regularised,learning_rate=0.04,weight=9'
    >>> with_preset("cgat:weight=9"), with_preset("of-a-plugin:weight=9")
    ('cgat:weight=9', 'of-a-plugin:weight=9')
    """
    try:
        spec = Spec.parse(label)
    except BadParameter:  # of a table that someone else wrote
        return label
    entry = entry_of("defense", spec.name)
    shortest = label
    for preset in entry.presets if entry else ():
        try:
            meant = Spec.parse(defenses.choose(Spec(spec.name, {"preset": preset})).label).params
        except UsageError:  # it names a file that is not here
            continue
        if meant.items() <= spec.params.items():
            others = {name: value for name, value in spec.params.items() if name not in meant}
            shortest = min(shortest, str(Spec(spec.name, {"preset": preset, **others})), key=len)
    return shortest
