"""Pictures for papers."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from hashbench.boards.leaderboard import Leaderboard
from hashbench.running.shared_files import replaced

if TYPE_CHECKING:
    from hashbench.boards.intervals import ConfidenceInterval
    from hashbench.boards.ranking import RankingRow

    Bounded = tuple[float, ConfidenceInterval | None]  # a level with its interval

WORST, CERTIFIED = "worst case", "certified"
LETTER = 0.07  # inches a letter
COLOURS = "cividis"  # perceptually uniform, so it works in grey print and for colour-blind readers
STYLE: dict[Any, Any] = {
    "font.size": 8, "axes.linewidth": 0.6, "font.family": ["DejaVu Sans", "sans-serif"],
    "svg.fonttype": "none", "svg.hashsalt": "hashbench", "text.parse_math": False,
}  # fmt: skip
METADATA: dict[str, dict[str, Any]] = {"png": {"Software": "hashbench"}, "svg": {"Creator": "hashbench", "Date": None}}


def save_figure(figure: Figure, path: Path) -> None:
    """Save a picture as PNG and as SVG, with the same bytes each time.

    Args:
        path: without an ending, which is added.
    """
    for form, metadata in METADATA.items():
        with replaced(path.with_name(f"{path.name}.{form}")) as draft:
            figure.savefig(draft, format=form, metadata=metadata)


def wrapped_title(title: str, inches: float) -> str:
    """A title on as many lines as it needs."""
    return "\n".join(textwrap.wrap(title, int(inches / LETTER)))


def save_matrix(board: Leaderboard, path: Path, ranking: Sequence[RankingRow] = ()) -> None:
    """Save a heat map of mAP in percent, defenses by attacks, or attacks by defenses if there are many attacks.

    The colour scale runs from 0 to 100, with the chance level marked on it. A square at or below
    chance has an asterisk, one without a valid number is hatched, one that nothing was to be measured
    for has a dash; targeted attacks have t-MAP. Behind a gap stand what ranks and what is certified, with their 95 %
    intervals.

    Args:
        path: without an ending; there will be a PNG and an SVG.
        ranking: the rows of the ranking; without a worst case or a certificate among them these are left out.
    """
    last = _last(ranking)
    attacks = [*board.attacks, *last]
    columns, rows = (board.defenses, attacks) if board.tall else (attacks, board.defenses)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=_size(board, attacks), layout="constrained", dpi=300)
        axes = figure.subplots()
        for row, down in enumerate(rows):
            for column, across in enumerate(columns):
                defense, attack = (across, down) if board.tall else (down, across)
                if attack in last:
                    _draw_last(axes, board, last[attack].get(defense), (column, row))
                else:
                    _draw_square(axes, board, (defense, attack), (column, row))
        if last:
            line = axes.axhline if board.tall else axes.axvline
            line(len(board.attacks) - 0.5, color="white", linewidth=4)
        _label_axes(axes, board, attacks)
        _draw_scale(figure, axes, board)
        save_figure(figure, path)


def _size(board: Leaderboard, attacks: Sequence[str]) -> tuple[float, float]:
    """Inches of the whole picture, so that no label touches another."""
    across, down = _labels(board, attacks)
    column = max(0.7, LETTER * _longest(across) + 0.12)
    row = 0.26 if board.tall else 0.42
    return 1.5 + LETTER * _longest(down) + column * len(across), 1.55 + row * len(down)


def _last(ranking: Sequence[RankingRow]) -> dict[str, dict[str, Bounded]]:
    """What stands behind the attacks, by name and defense; a name without any value is left out."""
    found = {
        WORST: {row.defense: (row.value, row.interval) for row in ranking if row.value is not None},
        CERTIFIED: {
            row.defense: (row.certificate.value, row.certificate.interval)
            for row in ranking
            if row.certificate.value is not None
        },
    }
    return {name: values for name, values in found.items() if values}


def _draw_last(axes: Axes, board: Leaderboard, bounded: Bounded | None, place: tuple[int, int]) -> None:
    """Draw the square of a defense's worst case or certified mAP."""
    if bounded is None:
        axes.text(*place, "-", color="0.4", ha="center", va="center")
        return
    level, interval = 100 * bounded[0], bounded[1]
    below = board.chance is not None and level <= 100 * board.chance
    bounds = f"[{100 * interval.low:.1f}, {100 * interval.high:.1f}]" if interval else ""
    text = f"{level:.1f}{'*' if below else ''}"
    _fill(axes, level, place, text if board.tall or not bounds else f"{text}\n{bounds}")


def _fill(axes: Axes, level: float, place: tuple[int, int], text: str) -> None:
    """A square in the colour of its level, with a text on it."""
    colour = mpl.colormaps[COLOURS](Normalize(0, 100)(level))
    corner = (place[0] - 0.5, place[1] - 0.5)
    axes.add_patch(Rectangle(corner, 1, 1, facecolor=colour, edgecolor="white", linewidth=0.8))
    ink = "black" if level > 50 else "white"
    axes.text(*place, text, color=ink, linespacing=1.3, ha="center", va="center")


def _draw_square(axes: Axes, board: Leaderboard, pair: tuple[str, str], place: tuple[int, int]) -> None:
    """Draw the square of a defense and an attack at a column and row."""
    values = [100 * value for value in board.values(*pair)]
    corner = (place[0] - 0.5, place[1] - 0.5)
    centered: dict[str, Any] = {"ha": "center", "va": "center"}
    if not board.cells(*pair):
        axes.text(*place, "-", color="0.4", **centered)
        return
    if not values:
        axes.add_patch(Rectangle(corner, 1, 1, facecolor="0.92", edgecolor="0.6", hatch="////", linewidth=0))
        paper = {"facecolor": "0.92", "edgecolor": "none", "pad": 1.5}
        axes.text(*place, "invalid", color="0.2", fontstyle="italic", bbox=paper, **centered)
        return
    level, chance = sum(values) / len(values), board.chance_of(pair[1])
    below = not board.targeted(pair[1]) and chance is not None and level <= 100 * chance
    _fill(axes, level, place, _annotation(level, values, below))


def _annotation(level: float, values: list[float], below: bool) -> str:
    spread = f"\n±{_deviation(values):.1f}" if len(values) > 1 else ""
    return f"{level:.1f}{'*' if below else ''}{spread}"


def _deviation(values: list[float]) -> float:
    mean = sum(values) / len(values)
    return float((sum((v - mean) ** 2 for v in values) / (len(values) - 1)) ** 0.5)


def _label_axes(axes: Axes, board: Leaderboard, attacks: Sequence[str]) -> None:
    across, down = _labels(board, attacks)
    axes.set_xlim(-0.5, len(across) - 0.5)
    axes.set_ylim(len(down) - 0.5, -0.5)
    axes.set_xticks(range(len(across)), across)
    axes.set_yticks(range(len(down)), down)
    note = "\n(* at or below chance)" if any("*" in text.get_text() for text in axes.texts) else ""
    axes.set_xlabel(("defense" if board.tall else "attack") + note)
    axes.set_ylabel("attack" if board.tall else "defense")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_title(wrapped_title(board.title, _size(board, attacks)[0]), fontsize=8)


def _labels(board: Leaderboard, attacks: Sequence[str]) -> tuple[list[str], list[str]]:
    """The labels of the columns and of the rows."""
    named = [board.column(label) for label in attacks]
    wrapped = [_wrapped(label, "clean", board.tall) for label in named]
    defenses = [_wrapped(label, "undefended", False) for label in board.defenses]
    return (defenses, wrapped) if board.tall else (wrapped, defenses)


def _longest(labels: list[str]) -> int:
    return max(len(line) for label in labels for line in label.split("\n"))


def _wrapped(label: str, plain: str, whole: bool) -> str:
    """A label for people, on several lines unless it may stay whole."""
    if label == "none":
        return plain
    return (
        label
        if whole
        else label.replace(":", ":\n").replace(",", ",\n").replace(" (", "\n(").replace(" t-MAP", "\nt-MAP")
    )


def _draw_scale(figure: Figure, axes: Axes, board: Leaderboard) -> None:
    colours: Any = mpl.cm.ScalarMappable(Normalize(0, 100), COLOURS)
    bar = figure.colorbar(colours, ax=axes, pad=0.03, aspect=14)
    bar.set_label("mAP (%)")
    bar.outline.set_visible(False)
    if board.chance is not None:
        level = 100 * board.chance
        bar.ax.axhline(level, color="white", linewidth=1.2)
        bar.ax.annotate(
            f"chance {level:.1f}", (0, level), xytext=(-2, 0), textcoords="offset points", fontsize=6,
            ha="right", va="center", rotation=90, xycoords=("axes fraction", "data"),
        )  # fmt: skip
