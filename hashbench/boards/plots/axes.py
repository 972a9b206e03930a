"""Titled axes of a leaderboard's pictures, with room for the names of its rows on their right."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from hashbench.boards.files import LeaderboardFiles
from hashbench.boards.plots.marks import CHANCE, GAP, Mark, leading, of_flags, of_more, titles
from hashbench.boards.plots.matrix import CAPTION, LETTER, ONE, TWO, caption_lines, wrapped_title, write_caption

LEGEND = 1.45  # inches that a legend needs on the right
HEIGHT = 2.3  # inches of axes, without labels and legends
# Inches beside, below and between axes.
LEFT, BOTTOM, BETWEEN = 0.55, 0.42, 0.5


def titled_axes(
    board: LeaderboardFiles, names: Sequence[str], count: int, least: float = 0, others: str = ""
) -> tuple[Figure, list[Axes]]:
    """A titled figure of one or two columns' width, with axes beside each other and room for names on the right.

    Args:
        names: the leading rows that are drawn.
        least: inches of that room, also where names are short.
        others: what is drawn of the rows that are left out.
    """
    across = ONE if count == 1 else TWO
    short = titles(leading(board.defenses), board.flagged)
    right = max(least, 0.25 + 0.8 * LETTER * max([8, *(len(short[name]) for name in names)]))
    right = min(right, across / 2)
    wide = (across - LEFT - (count - 1) * BETWEEN - right) / count
    title = wrapped_title(board.title, 1.15 * across)
    told = f"{of_more(board.defenses, others)} {of_flags(names, board.flagged)}".strip()
    notes = caption_lines(names, across, told)
    below = BOTTOM + CAPTION * len(notes)
    tall = height_for(names)
    down = below + tall + 0.3 + 0.14 * len(title.splitlines())
    figure = Figure(figsize=(across, down), dpi=300)
    places = [LEFT + place * (wide + BETWEEN) for place in range(count)]
    grid = [figure.add_axes((x / across, below / down, wide / across, tall / down)) for x in places]
    figure.text(0.5, 1 - 0.06 / down, title, ha="center", va="top", fontsize=8)
    write_caption(figure, notes, down)
    return figure, grid


def height_for(names: Collection[str]) -> float:
    """Inches of axes that have room for all names beside them."""
    return max(HEIGHT, GAP * len(names) / 72)


def finish(
    axes: Axes, board: LeaderboardFiles, across: str, *, level: float | None = None, label_from: float | None = None,
    named: str = "chance",
) -> None:  # fmt: skip
    """Scale, grid and names of axes that show percents upwards, and the chance level.

    Args:
        level: of a ranking that knows nothing, where that is not the board's chance mAP.
        label_from: where on the horizontal axis its label begins; by default on the left edge.
        named: what the level is called; empty where another of the figure's axes names it.
    """
    axes.set_ylim(0, 100)
    axes.set_xlabel(across)
    axes.set_ylabel("mAP (%)")
    axes.grid(color="0.9", linewidth=0.5)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    level = board.chance if level is None else level
    if level is not None:
        axes.axhline(100 * level, **CHANCE)
    if level is not None and named:
        start = axes.get_xlim()[0] if label_from is None else label_from
        axes.annotate(
            f"{named} {100 * level:.1f}", (start, 100 * level), xytext=(2.5, 2), textcoords="offset points",
            fontsize=6, color="0.25",
        )  # fmt: skip


def draw_legend(
    axes: Axes, board: LeaderboardFiles, names: Sequence[str], known: Mapping[str, Mark], title: str = ""
) -> None:
    """Name the lines on the right of the axes, the highest worst case first."""
    short = titles(leading(board.defenses), board.flagged)
    axes.legend(
        handles=[Line2D([], [], **known[defense].style, label=short[defense]) for defense in names], title=title,
        title_fontsize=6, fontsize=6.5, frameon=False, alignment="left", loc="upper left", bbox_to_anchor=(1.02, 1.02),
        borderaxespad=0, handlelength=1.2, handletextpad=0.5, labelspacing=0.35,
    )  # fmt: skip
