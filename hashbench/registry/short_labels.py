"""Names of defenses with the values of a preset written as the preset, for tables and captions."""

from __future__ import annotations

from hashbench.errors import BadParameter, UsageError
from hashbench.registry.entries import defenses, entry_of
from hashbench.registry.spec import Spec


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
