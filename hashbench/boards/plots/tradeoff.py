"""The picture of clean mAP against the worst case."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hashbench.boards.files import LeaderboardFiles, number
from hashbench.boards.plots.axes import finish, height_for, titled_axes
from hashbench.boards.plots.marks import CHANCE, Mark, label_ends, leading, marks, titles
from hashbench.boards.plots.matrix import STYLE

CROWD, REACH = 4, (7.0, 9.0)  # points of a crowd, and how far its points are from one of them, in mAP points
CORNERS = ((0.17, 0.47), (0.17, 0.14), (0.5, 0.14))  # of an inset, in shares of the axes
SIDE = (0.4, 0.45)
Point = tuple[float, float, float, float]  # clean mAP, worst case, and the ends of its interval, in percent


def draw_tradeoff(board: LeaderboardFiles) -> Figure | None:
    """Draw clean mAP against the worst case with its 95 % interval, one point per defense; None without ranking.csv.

    Rows that `leading` leaves out are dots of their defense's colour.
    """
    found = _points(board)
    leaders = leading(board.defenses)
    points = {defense: found[defense] for defense in leaders if defense in found}
    if not points:
        return None
    with mpl.rc_context(STYLE):
        figure, (axes,) = titled_axes(board, list(points), 1, others=", the others as dots")
        known = marks(leaders)
        _draw_points(axes, found, known)
        lowest = min([clean for clean, *_ in found.values()] + [100 * (board.chance or 1)])
        axes.set_xlim(max(0, lowest - 5), 101)
        finish(axes, board, "clean mAP (%)", label_from=100 * (board.chance or 0))
        axes.set_ylabel("worst-case mAP (%), 95 % interval")
        if board.chance is not None:
            axes.axvline(100 * board.chance, **CHANCE)
        axes.set_ylim(0, min(103, 8 + max(max(high for *_, high in found.values()), 100 * (board.chance or 0))))
        ends = {d: (clean, worst) for d, (clean, worst, *_) in points.items()}
        label_ends(axes, ends, known, titles(leaders, board.flagged), 72 * height_for(points))
        _draw_crowd(axes, found, known)
    return figure


def _points(board: LeaderboardFiles) -> dict[str, Point]:
    points: dict[str, Point] = {}
    for row in board.ranking:
        clean, worst, low, high = (number(row.get(n)) for n in ("map_clean", "map_worst", "ci_low", "ci_high"))
        if clean is not None and worst is not None:
            bounds = (worst if low is None else low, worst if high is None else high)
            points[row["defense"]] = (100 * clean, 100 * worst, 100 * bounds[0], 100 * bounds[1])
    return points


def _draw_points(axes: Axes, points: Mapping[str, Point], known: Mapping[str, Mark]) -> None:
    """Draw those with a mark of their own with their intervals, and the others as dots of their defense's colour."""
    colours = {defense.partition(":")[0]: mark.colour for defense, mark in known.items()}
    for defense, (clean, worst, low, high) in points.items():
        if defense not in known:
            axes.plot([clean], [worst], ".", color=colours[defense.partition(":")[0]], markersize=2.5, zorder=2)
            continue
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
    across = [point[0] for point in few.values()]
    up = [end for defense, point in few.items() for end in (point[2:] if defense in known else point[1:2])]
    inset.set(xlim=(min(across) - 0.7, max(across) + 0.7), ylim=(min(up) - 0.7, max(up) + 0.7))
    inset.tick_params(labelsize=5, length=2, pad=1.5)
    inset.grid(color="0.92", linewidth=0.4)
    axes.indicate_inset_zoom(inset, edgecolor="0.5", linewidth=0.5)
