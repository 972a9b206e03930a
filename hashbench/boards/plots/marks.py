"""How defenses are told apart in pictures: by colour, by shape, and by names that do not overlap."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.colors import hsv_to_rgb, to_hex

from hashbench.registry.short_labels import defense_name, with_preset

# Okabe & Ito, 2008, without their yellow, which is lost on white paper; then darker and duller ones, in the order of
# their distance from those before them. Black is kept for the undefended model.
COLOURS = (
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#882255", "#332288", "#999933", "#661100",
    "#44aa99", "#aa4499", "#117733", "#888888", "#bb5566", "#5254a3", "#8c6d31", "#004488", "#cc6677", "#637939",
)  # fmt: skip
# These have the same mark on every board, so that pictures can be compared; in the order of their places.
KNOWN = (
    "atrdh", "cgat", "saat", "trades-hamming", "lap", "pgd-training", "s3", "crdat",
    "ibp", "mtl-ibp", "jpeg", "bit-depth", "median", "noise-smoothing", "lap-2",
)  # fmt: skip
SHAPES = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">", "p", "h", "d")
CHANCE: dict[str, Any] = {"color": "0.35", "linewidth": 0.9, "linestyle": (0, (4, 2)), "zorder": 1}
GAP = 9.0  # points from one name to the next
SIGN = "†"  # of a row whose numbers can't be trusted
MOST = 15  # rows that a picture draws, unless they are of so many defenses


@dataclass(frozen=True)
class Mark:
    """A defense's colour and shape. Shape and fill alone distinguish 26 of them, so grey print works too."""

    colour: str
    shape: str
    filled: bool

    @property
    def style(self) -> dict[str, Any]:
        """Arguments of `Axes.plot`."""
        return {
            "color": self.colour, "marker": self.shape, "markersize": 4.5, "linewidth": 1.1, "markeredgewidth": 0.9,
            "markerfacecolor": self.colour if self.filled else "white", "markeredgecolor": self.colour,
        }  # fmt: skip


def marks(defenses: Sequence[str]) -> dict[str, Mark]:
    """A mark for each defense, independent of their order and each of another colour; `none` is a black circle.

    A defense of hashbench has the same mark on every board; of several with one name, that with the least parameters.
    """
    places = {found[0]: place for place, name in enumerate(KNOWN) if (found := by_length(defenses, name))}
    free = (place for place in itertools.count() if place not in places.values())
    places |= zip(sorted(set(defenses) - set(places) - {"none"}), free, strict=False)
    return {"none": Mark("#000000", "o", True)} | {name: _mark(place) for name, place in places.items()}


def _mark(place: int) -> Mark:
    shape = SHAPES[(place + 1) % len(SHAPES)]
    return Mark(_colour(place), shape, (place + 1) // len(SHAPES) % 2 == 0)


def _colour(place: int) -> str:
    """The colours above, then others round the circle of hues by the golden angle."""
    if place < len(COLOURS):
        return COLOURS[place]
    hue = (place - len(COLOURS)) * 0.61803398875 % 1
    red, green, blue = (float(part) for part in hsv_to_rgb((hue, 0.9, 0.55 + 0.3 * (place % 2))))
    return to_hex((red, green, blue))


def titles(defenses: Sequence[str], flagged: Collection[str] = ()) -> dict[str, str]:
    """A short name of each defense for people: without parameters; numbers tell several of one name apart.

    Args:
        flagged: defenses whose numbers can't be trusted, which get a sign.

    >>> titles(["none", "lap:weight=3", "saat", "saat:weight=2", "saat:weight=1,epochs=9"])
    {'none': 'undefended', 'lap:weight=3': 'lap', 'saat': 'saat', 'saat:weight=2': 'saat (1)', \
'saat:weight=1,epochs=9': 'saat (2)'}
    """
    found = {}
    for defense in defenses:
        name, _, parameters = defense.partition(":")
        others = [other for other in by_length(defenses, name) if ":" in other]
        plain = not parameters or by_length(defenses, name) == [defense]
        found[defense] = name if plain else f"{name} ({others.index(defense) + 1})"
    whole = {defense: defense_name(name) for defense, name in found.items()}
    return {defense: f"{name}{SIGN}" if defense in flagged else name for defense, name in whole.items()}


def of_flags(defenses: Sequence[str], flagged: Collection[str]) -> str:
    """What a caption says of the sign; empty where none of the defenses has it.

    >>> of_flags(["cgat", "jpeg"], ["jpeg"])
    "† flagged: its numbers can't be trusted; the column flags of ranking.csv says why."
    """
    told = f"{SIGN} flagged: its numbers can't be trusted; the column flags of ranking.csv says why."
    return told if any(defense in flagged for defense in defenses) else ""


def leading(defenses: Sequence[str]) -> list[str]:
    """The rows that a picture draws: all, or of more than 15 the first of each defense.

    Args:
        defenses: labels of rows, in the order of their ranks.
    """
    if len(defenses) <= MOST:
        return list(defenses)
    first: dict[str, str] = {}
    for defense in defenses:
        first.setdefault(defense.partition(":")[0], defense)
    return list(first.values())


def of_more(defenses: Sequence[str], others: str = "") -> str:
    """What a caption says of rows that `leading` leaves out; empty where it leaves out none.

    Args:
        others: what is drawn of them.

    >>> of_more([f"cgat:epochs={epochs}" for epochs in range(1, 17)], ", the others as dots")
    'Of each defense the row that ranks highest, the others as dots; ranking.csv has all 16.'
    """
    if len(leading(defenses)) == len(defenses):
        return ""
    return f"Of each defense the row that ranks highest{others}; ranking.csv has all {len(defenses)}."


def by_length(defenses: Sequence[str], name: str) -> list[str]:
    """The defenses of one name, those with the shortest parameters first."""
    return sorted({one for one in defenses if one.partition(":")[0] == name}, key=lambda one: (len(one), one))


def left_out(defenses: Sequence[str]) -> str:
    """The parameters that the short names leave out, for a picture's caption; empty where there are none.

    >>> left_out(["cgat", "cgat:learning_rate=0.02,optimiser=adamw,weight_decay=0.1,reach=1.5,cutmix=0.25,weight=3"])
    'Parameters: cgat (1) preset=strong.'
    """
    short = titles(defenses)
    parts = [
        f"{short[defense]} {with_preset(defense).partition(':')[2].replace(',', ', ')}"
        for defense in defenses
        if ":" in defense and short[defense] != defense
    ]
    return f"Parameters: {'; '.join(parts)}." if parts else ""


def label_ends(
    axes: Axes, ends: dict[str, tuple[float, float]], known: dict[str, Mark], named: dict[str, str], height: float
) -> None:
    """Write each defense's name right of the axes, with its mark, at the height of its point if there is room.

    A thin line leads from the point to the name.

    Args:
        ends: the point of each defense, in data units.
        named: what each is called.
        height: of the axes, in points.
    """
    low, high = axes.get_ylim()
    wanted = {name: (y - low) / (high - low) * height for name, (_, y) in ends.items()}
    for name, place in spread(wanted, GAP, height).items():
        y = low + place / height * (high - low)
        across = axes.get_yaxis_transform()
        axes.annotate(
            "", (1.03, y), xytext=ends[name], xycoords=across, textcoords="data", annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": "0.75", "linewidth": 0.5, "shrinkA": 3, "shrinkB": 0},
            zorder=0,
        )  # fmt: skip
        axes.plot([1.045], [y], transform=across, clip_on=False, **known[name].style)
        axes.text(1.08, y, named[name], transform=across, va="center", fontsize=7, clip_on=False)


def spread(wanted: dict[str, float], gap: float, height: float) -> dict[str, float]:
    """Heights near the wanted ones, in their order, with a gap between them and inside [0, height] if they fit.

    Each group of names that would touch stands around its mean height.
    """
    groups: list[tuple[list[str], float]] = []
    for name in sorted(wanted, key=lambda name: (wanted[name], name)):
        groups.append(([name], wanted[name]))
        while len(groups) > 1 and _bottom(groups[-1], gap, height) < _top(groups[-2], gap, height) + gap:
            (below, low), (above, high) = groups[-2:]
            middle = (low * len(below) + high * len(above)) / (len(below) + len(above))
            groups[-2:] = [(below + above, middle)]
    return {name: _bottom(group, gap, height) + place * gap for group in groups for place, name in enumerate(group[0])}


def _bottom(group: tuple[list[str], float], gap: float, height: float) -> float:
    length = (len(group[0]) - 1) * gap
    return max(0.0, min(group[1] - length / 2, height - length))


def _top(group: tuple[list[str], float], gap: float, height: float) -> float:
    return _bottom(group, gap, height) + (len(group[0]) - 1) * gap
