"""Pictures for papers."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from hashbench.boards.leaderboard import Leaderboard
from hashbench.boards.plots.marks import left_out, of_flags, titles
from hashbench.boards.ranking import is_flagged
from hashbench.running.shared_files import replaced

if TYPE_CHECKING:
    from hashbench.boards.intervals import ConfidenceInterval
    from hashbench.boards.ranking import RankingRow

    Bounded = tuple[float, ConfidenceInterval | None]  # a level with its interval

WORST, CERTIFIED = "worst case", "certified"
LETTER = 0.07  # inches a letter
CAPTION = 0.09  # inches of a line of the caption below curves and brackets
ONE, TWO = 3.5, 7.16  # inches of one and of two columns of a paper
FORMATS = ("png", "svg")
LATEX = "tex"  # of tables beside pictures
NOTE = 110  # letters of the caption in a line of two columns
COLOURS = "cividis"  # perceptually uniform, so it works in grey print and for colour-blind readers
LUMINANCE = (0.299, 0.587, 0.114)  # of red, green and blue
TARGETED = "cividis_r"  # of t-MAP, where less is better
STYLE: dict[Any, Any] = {
    "font.size": 8, "axes.linewidth": 0.6, "font.family": ["DejaVu Sans", "sans-serif"],
    "svg.fonttype": "none", "svg.hashsalt": "hashbench", "text.parse_math": False,
}  # fmt: skip
METADATA: dict[str, dict[str, Any]] = {
    "png": {"Software": "hashbench"},
    "svg": {"Creator": "hashbench", "Date": None},
    "pdf": {"Creator": "hashbench", "Producer": "hashbench", "CreationDate": None},
}


def save_figure(figure: Figure, path: Path, formats: Sequence[str] = FORMATS) -> None:
    """Save a picture in some formats, with the same bytes each time.

    Args:
        path: without an ending, which is added.
        formats: some of png, svg and pdf.
    """
    figure.draw_without_rendering()  # lays it out once, so that no format depends on those saved before it
    figure.set_layout_engine("none")
    for form in formats:
        with replaced(path.with_name(f"{path.name}.{form}")) as draft:
            figure.savefig(draft, format=form, metadata=METADATA[form])


def remove_pictures(folder: Path, names: Sequence[str], kept: Collection[str]) -> None:
    """Remove the files of pictures of some names, in any format, but for those that were just saved."""
    for path in (folder / f"{name}.{form}" for name in names for form in (*METADATA, LATEX)):
        if path.name not in kept:
            path.unlink(missing_ok=True)


def caption_lines(defenses: Sequence[str], across: float, first: str = "") -> list[str]:
    """The lines of a caption with the parameters that short names leave out, below a figure of a width in inches.

    Args:
        first: a sentence before them.
    """
    return textwrap.wrap(f"{first} {left_out(defenses)}".strip(), int(1.55 * across / LETTER))


def write_caption(figure: Figure, lines: Sequence[str], down: float) -> None:
    """Write a caption at the bottom of a figure of a height in inches; each line takes `CAPTION` of them."""
    if lines:
        figure.text(0.02, 0.03 / down, "\n".join(lines), ha="left", va="bottom", fontsize=5, color="0.25")


class _Wrapper(textwrap.TextWrapper):
    """Breaks a list of parameters after its commas too."""

    def _split(self, text: str) -> list[str]:
        chunks: list[str] = super()._split(text)
        return [piece for chunk in chunks for piece in re.split(r"(?<=,)(?=\S)", chunk)]


def wrapped_title(title: str, inches: float) -> str:
    """A title on as many lines as it needs.

    >>> print(wrapped_title("digits, clean:learning_rate=0.001,optimiser=adamw; l-inf eps 8/255", 2.5))
    digits, clean:learning_rate=0.001,
    optimiser=adamw; l-inf eps 8/255
    """
    return "\n".join(_Wrapper(int(inches / LETTER)).wrap(title))


def save_matrix(
    board: Leaderboard, path: Path, ranking: Sequence[RankingRow] = (), formats: Sequence[str] = FORMATS
) -> None:
    """Save a heat map of mAP in percent, defenses by attacks, or attacks by defenses if there are many attacks.

    Defenses stand in the order of the ranking, the highest worst case first; parameters that their short names leave
    out stand below; one whose numbers can't be trusted has a dagger. The colour scale runs from 0 to 100, with the
    chance level marked on it. A square at or below chance has an asterisk, one without a valid number is hatched, one
    that nothing was to be measured for has a dash; targeted attacks have t-MAP, on a reversed scale of its own. Behind
    a gap stand what ranks and what is certified, with their 95 % intervals.

    Args:
        path: without an ending.
        formats: endings of the files.
        ranking: the rows of the ranking; without a worst case or a certificate among them these are left out.
    """
    last = behind(ranking)
    attacks = [*board.attacks, *last]
    defenses = in_order(board, ranking)
    flagged = {row.defense for row in ranking if is_flagged(row.flags)}
    columns, rows = (defenses, attacks) if board.tall else (attacks, defenses)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=_size(board, attacks, defenses, flagged), layout="constrained", dpi=300)
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
        _label_axes(axes, board, attacks, defenses, flagged)
        _draw_scale(figure, axes, board)
        save_figure(figure, path, formats)


def in_order(board: Leaderboard, ranking: Sequence[RankingRow]) -> list[str]:
    """The defenses in the order of the ranking, then those that are not in it."""
    ranked = [row.defense for row in ranking if row.defense in board.defenses]
    return ranked + [defense for defense in board.defenses if defense not in ranked]


def _size(
    board: Leaderboard, attacks: Sequence[str], defenses: Sequence[str], flagged: Collection[str]
) -> tuple[float, float]:
    """Inches of the whole picture: the width of one or two columns, or more where labels would touch."""
    across, down = _labels(board, attacks, titles(defenses, flagged))
    column = max(0.52, 0.78 * LETTER * _longest(across) + 0.1)
    needed = 1.3 + 0.8 * LETTER * _longest(down) + column * len(across)
    row = 0.22 if board.tall else 0.32
    width = next((one for one in (ONE, TWO) if needed <= one), needed)
    return width, 1.35 + row * len(down) + 0.1 * len(_caption(defenses, flagged, width))


def _caption(defenses: Sequence[str], flagged: Collection[str], width: float) -> list[str]:
    return textwrap.wrap(f"{of_flags(defenses, flagged)} {left_out(defenses)}".strip(), int(NOTE * width / TWO))


def behind(ranking: Sequence[RankingRow]) -> dict[str, dict[str, Bounded]]:
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


def _fill(axes: Axes, level: float, place: tuple[int, int], text: str, colours: str = COLOURS) -> None:
    """A square in the colour of its level, with a text on it."""
    colour = mpl.colormaps[colours](Normalize(0, 100)(level))
    corner = (place[0] - 0.5, place[1] - 0.5)
    axes.add_patch(Rectangle(corner, 1, 1, facecolor=colour, edgecolor="white", linewidth=0.8))
    ink = "black" if np.dot(colour[:3], LUMINANCE) > 0.45 else "white"
    axes.text(*place, text, color=ink, linespacing=1.2, fontsize=6.5, ha="center", va="center")


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
    _fill(axes, level, place, _annotation(level, values, below), TARGETED if board.targeted(pair[1]) else COLOURS)


def _annotation(level: float, values: list[float], below: bool) -> str:
    spread = f"\n±{_deviation(values):.1f}" if len(values) > 1 else ""
    return f"{level:.1f}{'*' if below else ''}{spread}"


def _deviation(values: list[float]) -> float:
    mean = sum(values) / len(values)
    return float((sum((v - mean) ** 2 for v in values) / (len(values) - 1)) ** 0.5)


def _label_axes(
    axes: Axes, board: Leaderboard, attacks: Sequence[str], defenses: Sequence[str], flagged: Collection[str]
) -> None:
    across, down = _labels(board, attacks, titles(defenses, flagged))
    axes.set_xlim(-0.5, len(across) - 0.5)
    axes.set_ylim(len(down) - 0.5, -0.5)
    axes.set_xticks(range(len(across)), across, fontsize=7)
    axes.set_yticks(range(len(down)), down, fontsize=7)
    width = _size(board, attacks, defenses, flagged)[0]
    said = "".join(text.get_text() for text in axes.texts)
    signs = {"±": "± standard deviation over seeds", "[": "[ ] 95 % interval", "*": "* at or below chance"}
    notes = ["; ".join(meaning for sign, meaning in signs.items() if sign in said)]
    notes += _caption(defenses, flagged, width)
    if notes := [note for note in notes if note]:
        axes.figure.supxlabel("\n".join(notes), fontsize=5.5, color="0.25", x=0.01, ha="left")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_title(wrapped_title(board.title, width), fontsize=8)


def _labels(board: Leaderboard, attacks: Sequence[str], short: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """The labels of the columns and of the rows, given the defenses' short names."""
    wrapped = [_wrapped(board.column(label), "clean", board.tall) for label in attacks]
    named = [_wrapped(name, name, False) for name in short.values()]
    return (named, wrapped) if board.tall else (wrapped, named)


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
    """Draw the scale of mAP, and that of t-MAP where an attack is targeted."""
    bar = _draw_bar(figure, axes, COLOURS, "mAP (%)")
    if board.chance is not None:
        level = 100 * board.chance
        bar.ax.axhline(level, color="white", linewidth=1.2)
        bar.ax.annotate(
            f"chance {level:.1f}", (0, level), xytext=(-2, 0), textcoords="offset points", fontsize=6,
            ha="right", va="center", rotation=90, xycoords=("axes fraction", "data"),
        )  # fmt: skip
    if any(map(board.targeted, board.attacks)):
        _draw_bar(figure, axes, TARGETED, "t-MAP (%), less is better").ax.invert_yaxis()


def _draw_bar(figure: Figure, axes: Axes, colours: str, name: str) -> Any:
    shades: Any = mpl.cm.ScalarMappable(Normalize(0, 100), colours)
    bar = figure.colorbar(shades, ax=axes, pad=0.03, aspect=18, fraction=0.06)
    bar.set_label(name, fontsize=7)
    bar.ax.tick_params(labelsize=6)
    bar.outline.set_visible(False)
    return bar
