"""The picture of what is known of each defense: certified below, the worst case found above, and clean mAP."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib as mpl

mpl.use("agg")

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from hashbench.boards.files import LeaderboardFiles, Row, number
from hashbench.boards.plots.marks import CHANCE, of_flags, titles
from hashbench.boards.plots.matrix import CAPTION, LETTER, STYLE, caption_lines, wrapped_title, write_caption

ROW = 0.3  # inches a defense
WIDTH = 3.6  # inches of the axes
COLUMNS = (("certified", 0.5), ("worst", 0.85), ("clean", 1.18))  # with the inches from the axes to their right ends
OPEN, REACHED = "#0072b2", "#9ecae1"  # between proof and attack; between attack and clean
INK = "#08306b"
GAP, WORDS = 1.5, 16  # percent: before the words "no certificate", and that they take


@dataclass(frozen=True)
class _Bracket:
    """A defense's numbers in percent; certified ones are None where nothing could be certified."""

    defense: str
    certified: float | None
    worst: float
    clean: float
    certified_bounds: tuple[float, float] | None
    worst_bounds: tuple[float, float] | None


def draw_bracket(board: LeaderboardFiles) -> Figure | None:
    """Draw a bar for each defense from what is certified over the worst case to clean mAP; None without certificates.

    The dark part of a bar is what is open between proof and attack. Thin lines are 95 % intervals.
    """
    found = [one for row in board.ranking if (one := _bracket(row))]
    if all(one.certified is None for one in found):
        return None
    short = titles(board.defenses, board.flagged)
    left = 0.3 + LETTER * max(len(short[one.defense]) for one in found)
    title = wrapped_title(board.title, left + WIDTH)
    tall, above, below = ROW * len(found) + 0.1, 0.22 + 0.14 * (title.count("\n") + 1), 0.95
    across = left + WIDTH + 1.3
    names = [one.defense for one in found]
    notes = caption_lines(names, across, of_flags(names, board.flagged))
    down = tall + above + below + CAPTION * len(notes)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(across, down), dpi=300)
        axes = figure.add_axes((left / across, 1 - (tall + above) / down, WIDTH / across, tall / down))
        for place, one in enumerate(found):
            _draw(axes, one, place, 100 * (board.chance or 0))
        _write(axes, -0.75, [name for name, _ in COLUMNS])
        axes.set_ylim(len(found) - 0.45, -0.55)
        axes.set_yticks(range(len(found)), [short[one.defense] for one in found])
        axes.set_xlim(0, 100)
        axes.set_xlabel("mAP (%), 95 % intervals")
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x", color="0.9", linewidth=0.5)
        axes.set_axisbelow(True)
        axes.spines[["top", "right", "left"]].set_visible(False)
        if board.chance is not None:
            axes.axvline(100 * board.chance, **CHANCE)
        figure.text((left + WIDTH / 2) / across, 1 - 0.06 / down, title, ha="center", va="top", fontsize=8)
        _explain(figure, board, ((left + WIDTH / 2) / across, CAPTION * len(notes) / down))
        write_caption(figure, notes, down)
    return figure


def _bracket(row: Row) -> _Bracket | None:
    names = ("certified", "map_worst", "map_clean")
    certified, worst, clean = (number(row.get(name)) for name in names)
    if worst is None or clean is None:
        return None
    return _Bracket(
        row["defense"],
        None if certified is None else 100 * certified,
        100 * worst,
        100 * clean,
        _bounds(row, "certified_ci_low", "certified_ci_high"),
        _bounds(row, "ci_low", "ci_high"),
    )


def _bounds(row: Row, *names: str) -> tuple[float, float] | None:
    low, high = (number(row.get(name)) for name in names)
    return None if low is None or high is None else (100 * low, 100 * high)


def _draw(axes: Axes, one: _Bracket, place: int, chance: float) -> None:
    """Draw one defense's bar with its ends, intervals and numbers."""
    low, high = sorted((one.worst, one.clean))
    axes.barh(place, high - low, left=low, height=0.42, color=REACHED, linewidth=0, zorder=2)
    if one.certified is None:
        start, (left, right) = chance + GAP, one.worst_bounds or (one.worst, one.worst)
        start = start if left > start + WORDS else max(right, chance) + GAP  # beside the worst case, not across it
        axes.text(start, place, "no certificate", fontsize=6, va="center", color="0.35", fontstyle="italic")
    else:
        axes.barh(place, one.worst - one.certified, left=one.certified, height=0.42, color=OPEN, linewidth=0, zorder=2)
        axes.plot([one.certified] * 2, [place - 0.32, place + 0.32], color=INK, linewidth=1.6, zorder=4)
    for bounds in (one.certified_bounds, one.worst_bounds):
        if bounds:
            axes.plot(bounds, [place, place], color=INK, linewidth=0.8, zorder=3)
    axes.plot([one.worst], [place], marker="o", color=INK, markersize=4, zorder=4)
    axes.plot(
        [one.clean],
        [place],
        marker="D",
        markerfacecolor="white",
        markeredgecolor=INK,
        markersize=3.6,
        zorder=4,
        clip_on=False,
    )
    _write(axes, place, ["-" if level is None else f"{level:.1f}" for level in (one.certified, one.worst, one.clean)])


def _write(axes: Axes, place: float, words: Sequence[str]) -> None:
    """Write the columns on the right of a row."""
    across = axes.get_yaxis_transform()
    for word, (_, right) in zip(words, COLUMNS, strict=True):
        axes.text(1 + right / WIDTH, place, word, transform=across, fontsize=6, va="center", ha="right")


def _explain(figure: Figure, board: LeaderboardFiles, place: tuple[float, float]) -> None:
    """The legend below the axes, over a place in shares of the figure."""
    handles: list[Line2D | Patch] = [
        Line2D([], [], color=INK, linewidth=1.6, label="certified: no attack goes below"),
        Line2D([], [], color=INK, marker="o", markersize=4, linestyle="", label="worst case found"),
        Line2D(
            [], [], marker="D", markerfacecolor="white", markeredgecolor=INK, markersize=3.6, linestyle="",
            label="clean",
        ),
        Patch(color=OPEN, label="open: neither proved nor attacked"),
        Patch(color=REACHED, label="lost to attacks"),
    ]  # fmt: skip
    if board.chance is not None:
        handles.append(Line2D([], [], **{**CHANCE, "label": f"chance {100 * board.chance:.1f}"}))
    figure.legend(
        handles=handles, ncols=2, fontsize=6, frameon=False, loc="lower center", bbox_to_anchor=place,
        borderaxespad=0.3,
    )  # fmt: skip
