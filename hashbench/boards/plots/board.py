"""The pictures of a leaderboard's folder: robustness curve, clean against worst, brackets, precision and recall."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from hashbench.boards.files import LeaderboardFiles, Row, number, read_board
from hashbench.boards.plots.bracket import draw_bracket
from hashbench.boards.plots.marks import CHANCE, GAP, Mark, label_ends, marks, titles
from hashbench.boards.plots.matrix import (
    CAPTION,
    FORMATS,
    LETTER,
    ONE,
    STYLE,
    TWO,
    caption_lines,
    save_figure,
    wrapped_title,
    write_caption,
)
from hashbench.metrics.average_precision import precision_within
from hashbench.metrics.distance_counts import Counts
from hashbench.threat import kind_of

LEGEND = 1.45  # inches that a legend needs on the right
HEIGHT = 2.3  # inches of axes, without labels and legends
# Inches beside, below and between axes.
LEFT, BOTTOM, BETWEEN = 0.55, 0.42, 0.5
CROWD, REACH = 4, (7.0, 9.0)  # points of a crowd, and how far its points are from one of them, in mAP points
CORNERS = ((0.17, 0.47), (0.17, 0.14), (0.5, 0.14))  # of an inset, in shares of the axes
SIDE = (0.4, 0.45)
Line = list[tuple[float, float]]
Point = tuple[float, float, float, float]  # clean mAP, worst case, and the ends of its interval, in percent


def save_pictures(folder: Path, into: Path | None = None, formats: Sequence[str] = FORMATS) -> list[str]:
    """Save every picture for which a leaderboard's files hold the numbers; returns their names, without suffixes.

    Args:
        into: another folder for the pictures.
        formats: endings of the files of each.

    Raises:
        BadInput: a file of the folder is damaged.
        OSError: the folder can't be written.
    """
    board = read_board(folder)
    drawn = {
        "curve": draw_curve(board),
        "tradeoff": draw_tradeoff(board),
        "bracket": draw_bracket(board),
        "precision-recall": draw_recall(board),
    }
    for name, figure in drawn.items():
        if figure:
            with mpl.rc_context(STYLE):
                save_figure(figure, (into or folder) / name, formats)
    return [name for name, figure in drawn.items() if figure]


def draw_curve(board: LeaderboardFiles) -> Figure | None:
    """Draw mAP against the budget, with one line and its 95 % band per defense.

    None without curve.csv, and for a patch, under which the curve of its models is that of the l-inf board.
    """
    if kind_of(board.subject["norm"]) == "patch":
        return None
    unit = 255 if board.subject["norm"] == "linf" else 1  # l-inf budgets are shown in grey levels
    lines = {defense: _curve_of(board.curve, defense, unit) for defense in board.defenses}
    lines = {defense: points for defense, points in lines.items() if points}
    if not lines:
        return None
    levels = sorted({eps for points in lines.values() for eps, *_ in points})
    with mpl.rc_context(STYLE):
        figure, (axes,) = _axes(board, lines, 1)
        known = marks(board.defenses)
        for defense, points in lines.items():
            eps, middle, low, high = np.array(points).T
            axes.fill_between(eps, low, high, color=known[defense].colour, alpha=0.12, linewidth=0)
            axes.plot(eps, middle, **known[defense].style, clip_on=False)
        smallest = next((eps for eps in levels if eps > 0), 1.0)
        axes.set_xscale("symlog", base=2, linthresh=smallest, linscale=1)
        axes.set_xlim(levels[0], levels[-1])
        axes.set_xticks(levels, [f"{eps:.3g}" for eps in levels])
        axes.minorticks_off()
        _finish(axes, board, "l-inf budget eps (grey levels, /255)" if unit == 255 else "l2 budget eps")
        own = number(board.subject["eps"])
        if own is not None:
            axes.axvline(unit * own, color="0.6", linewidth=0.7, linestyle=":", zorder=0)
            axes.text(unit * own, 101, "eps of the tables", fontsize=6, ha="center", va="bottom", color="0.35")
        _draw_legend(axes, board, list(lines), known)
    return figure


def draw_tradeoff(board: LeaderboardFiles) -> Figure | None:
    """Draw clean mAP against the worst case with its 95 % interval, one point per defense; None without ranking.csv."""
    points: dict[str, Point] = {}
    for row in board.ranking:
        clean, worst, low, high = (number(row.get(n)) for n in ("map_clean", "map_worst", "ci_low", "ci_high"))
        if clean is not None and worst is not None:
            bounds = (worst if low is None else low, worst if high is None else high)
            points[row["defense"]] = (100 * clean, 100 * worst, 100 * bounds[0], 100 * bounds[1])
    if not points:
        return None
    with mpl.rc_context(STYLE):
        figure, (axes,) = _axes(board, points, 1)
        known = marks(board.defenses)
        _draw_points(axes, points, known)
        lowest = min([clean for clean, *_ in points.values()] + [100 * (board.chance or 1)])
        axes.set_xlim(max(0, lowest - 5), 101)
        _finish(axes, board, "clean mAP (%)", label_from=100 * (board.chance or 0))
        axes.set_ylabel("worst-case mAP (%), 95 % interval")
        if board.chance is not None:
            axes.axvline(100 * board.chance, **CHANCE)
        axes.set_ylim(0, min(103, 8 + max(max(high for *_, high in points.values()), 100 * (board.chance or 0))))
        ends = {d: (clean, worst) for d, (clean, worst, *_) in points.items()}
        label_ends(axes, ends, known, titles(board.defenses), 72 * _height(points))
        _draw_crowd(axes, points, known)
    return figure


def _draw_points(axes: Axes, points: Mapping[str, Point], known: Mapping[str, Mark]) -> None:
    for defense, (clean, worst, low, high) in points.items():
        axes.plot([clean, clean], [low, high], color=known[defense].colour, linewidth=0.8, zorder=2)
        axes.plot([clean], [worst], **known[defense].style, zorder=3)


def _draw_crowd(axes: Axes, points: Mapping[str, Point], known: Mapping[str, Mark]) -> None:
    """Draw the largest crowd of points once more, larger, in a corner without points; nothing where none is crowded."""
    places = np.array([point[:2] for point in points.values()])
    near = (abs(places[:, None] - places) <= REACH).all(axis=2)
    crowd = near[near.sum(axis=1).argmax()]
    size = np.array([axes.get_xlim()[1] - axes.get_xlim()[0], axes.get_ylim()[1] - axes.get_ylim()[0]])
    shares = (places - [axes.get_xlim()[0], axes.get_ylim()[0]]) / size
    free = [
        one
        for one in CORNERS
        if not ((shares > np.subtract(one, 0.06)) & (shares < np.add(one, SIDE))).all(axis=1).any()
    ]
    if crowd.sum() < CROWD or not free:
        return
    few = {defense: point for (defense, point), inside in zip(points.items(), crowd, strict=True) if inside}
    inset = axes.inset_axes((*free[0], *SIDE), zorder=4)
    _draw_points(inset, few, known)
    (left, low), (right, high) = places[crowd].min(axis=0) - 0.7, places[crowd].max(axis=0) + 0.7
    inset.set(xlim=(left, right), ylim=(low, high))
    inset.tick_params(labelsize=5, length=2, pad=1.5)
    inset.grid(color="0.92", linewidth=0.4)
    axes.indicate_inset_zoom(inset, edgecolor="0.5", linewidth=0.5)


def draw_recall(board: LeaderboardFiles) -> Figure | None:
    """Draw precision against recall as the Hamming radius grows, clean and under the worst attack.

    None where no counts of queries were kept.
    """
    worst = {row["defense"]: row.get("worst_attack", "") for row in board.ranking}
    panels: dict[str, dict[str, Line]] = {"clean": {}, "under its worst attack": {}}
    for defense in board.defenses:
        for panel, attack in zip(panels, ("none", worst.get(defense) or ""), strict=True):
            line = _recall_of(board, board.cells(defense, attack))
            if line:
                panels[panel][defense] = line
    panels = {name: lines for name, lines in panels.items() if lines}
    if not panels:
        return None
    names = [defense for defense in board.defenses if any(defense in lines for lines in panels.values())]
    with mpl.rc_context(STYLE):
        figure, grid = _axes(board, names, len(panels), LEGEND)
        known = marks(board.defenses)
        for axes, (panel, lines) in zip(grid, panels.items(), strict=True):
            for defense, line in lines.items():
                axes.plot(*np.array(line).T, **{**known[defense].style, "markersize": 3}, markevery=2, clip_on=False)
            axes.set_xlim(0, 100)
            _finish(axes, board, f"recall (%), {panel}", level=_relevant_share(board), named=axes is grid[0])
            axes.set_ylabel("precision (%)" if axes is grid[0] else "")
        _draw_legend(grid[-1], board, names, known, "a mark every other\nHamming radius, from 0")
    return figure


def _draw_legend(
    axes: Axes, board: LeaderboardFiles, names: Sequence[str], known: Mapping[str, Mark], title: str = ""
) -> None:
    """Name the lines on the right of the axes, the highest worst case first."""
    short = titles(board.defenses)
    axes.legend(
        handles=[Line2D([], [], **known[defense].style, label=short[defense]) for defense in names], title=title,
        title_fontsize=6, fontsize=6.5, frameon=False, alignment="left", loc="upper left", bbox_to_anchor=(1.02, 1.02),
        borderaxespad=0, handlelength=1.2, handletextpad=0.5, labelspacing=0.35,
    )  # fmt: skip


def _axes(board: LeaderboardFiles, names: Collection[str], count: int, least: float = 0) -> tuple[Figure, list[Axes]]:
    """A titled figure of one or two columns' width, with axes beside each other and room for names on the right.

    Args:
        least: inches of that room, also where names are short.
    """
    across = ONE if count == 1 else TWO
    short = titles(board.defenses)
    right = max(least, 0.25 + 0.8 * LETTER * max([8, *(len(short[name]) for name in names)]))
    right = min(right, across / 2)
    wide = (across - LEFT - (count - 1) * BETWEEN - right) / count
    title = wrapped_title(board.title, 1.15 * across)
    notes = caption_lines([d for d in board.defenses if d in names], across)
    below = BOTTOM + CAPTION * len(notes)
    tall = _height(names)
    down = below + tall + 0.3 + 0.14 * len(title.splitlines())
    figure = Figure(figsize=(across, down), dpi=300)
    places = [LEFT + place * (wide + BETWEEN) for place in range(count)]
    grid = [figure.add_axes((x / across, below / down, wide / across, tall / down)) for x in places]
    figure.text(0.5, 1 - 0.06 / down, title, ha="center", va="top", fontsize=8)
    write_caption(figure, notes, down)
    return figure, grid


def _height(names: Collection[str]) -> float:
    """Inches of axes that have room for all names beside them."""
    return max(HEIGHT, GAP * len(names) / 72)


def _finish(
    axes: Axes, board: LeaderboardFiles, across: str, *, level: float | None = None, label_from: float | None = None,
    named: bool = True,
) -> None:  # fmt: skip
    """Scale, grid and names of axes that show percents upwards, and the chance level.

    Args:
        level: of a ranking that knows nothing, where that is not the board's chance mAP.
        label_from: where on the horizontal axis its label begins; by default on the left edge.
        named: label the level.
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
            f"chance {100 * level:.1f}", (start, 100 * level), xytext=(2.5, 2), textcoords="offset points",
            fontsize=6, color="0.25",
        )  # fmt: skip


def _curve_of(rows: Iterable[Row], defense: str, unit: float) -> list[tuple[float, float, float, float]]:
    """Budgets times a unit with mAP, low and high in percent, each averaged over seeds."""
    found: dict[float, list[tuple[float, float, float]]] = {}
    for row in rows:
        eps, middle = number(row.get("eps")), number(row.get("map"))
        if row["defense"] == defense and eps is not None and middle is not None:
            low, high = number(row.get("ci_low")), number(row.get("ci_high"))
            bounds = (middle if low is None else low, middle if high is None else high)
            found.setdefault(round(unit * eps, 3), []).append((middle, *bounds))
    return [(eps, *(100 * float(v) for v in np.mean(values, axis=0))) for eps, values in sorted(found.items())]  # type: ignore[misc]


def _recall_of(board: LeaderboardFiles, cells: Iterable[Row]) -> Line:
    """Recall and precision in percent for each radius, averaged over queries with a relevant item, then over seeds."""
    lines = []
    for cell in cells:
        counts = board.counts(cell)
        if counts is None:
            continue
        total = counts.relevant.sum(axis=1)
        kept = Counts(counts.items[total > 0], counts.relevant[total > 0])
        recall = np.cumsum(kept.relevant, axis=1) / total[total > 0][:, None]
        precision = [precision_within(kept, radius).mean() for radius in range(kept.items.shape[1])]
        lines.append([100 * recall.mean(axis=0), 100 * np.array(precision)])
    return [(float(r), float(p)) for r, p in np.mean(lines, axis=0).T] if lines else []


def _relevant_share(board: LeaderboardFiles) -> float | None:
    """The precision of a random ranking."""
    shares = [share for row in board.results if (share := number(row.get("relevant_fraction"))) is not None]
    return sum(shares) / len(shares) if shares else None
