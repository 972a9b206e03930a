"""The pictures of a leaderboard's folder: robustness curve, clean against worst, brackets, precision and recall."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from hashbench.boards.files import LeaderboardFiles, Row, number, read_board
from hashbench.boards.plots.axes import LEGEND, draw_legend, finish, titled_axes
from hashbench.boards.plots.bracket import draw_bracket
from hashbench.boards.plots.marks import leading, marks
from hashbench.boards.plots.matrix import FORMATS, STYLE, save_figure
from hashbench.boards.plots.tradeoff import draw_tradeoff
from hashbench.metrics.average_precision import precision_within
from hashbench.metrics.distance_counts import Counts
from hashbench.threat import kind_of

Line = list[tuple[float, float]]
PICTURES = ("curve", "tradeoff", "bracket", "precision-recall")


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
    figures = (draw_curve(board), draw_tradeoff(board), draw_bracket(board), draw_recall(board))
    drawn = dict(zip(PICTURES, figures, strict=True))
    for name, figure in drawn.items():
        if figure:
            with mpl.rc_context(STYLE):
                save_figure(figure, (into or folder) / name, formats)
    return [name for name, figure in drawn.items() if figure]


def draw_curve(board: LeaderboardFiles) -> Figure | None:
    """Draw mAP against the budget, with one line per defense, and a band over the seeds' 95 % intervals.

    None without curve.csv, and for a patch, under which the curve of its models is that of the l-inf board.
    """
    if kind_of(board.subject["norm"]) == "patch":
        return None
    unit = 255 if board.subject["norm"] == "linf" else 1  # l-inf budgets are shown in grey levels
    leaders = leading(board.defenses)
    lines = {defense: _curve_of(board.curve, defense, unit) for defense in leaders}
    lines = {defense: points for defense, points in lines.items() if points}
    if not lines:
        return None
    levels = sorted({eps for points in lines.values() for eps, *_ in points})
    with mpl.rc_context(STYLE):
        figure, (axes,) = titled_axes(board, list(lines), 1)
        known = marks(leaders)
        for defense, points in lines.items():
            eps, middle, low, high = np.array(points).T
            axes.fill_between(eps, low, high, color=known[defense].colour, alpha=0.12, linewidth=0)
            axes.plot(eps, middle, **known[defense].style, clip_on=False)
        smallest = next((eps for eps in levels if eps > 0), 1.0)
        axes.set_xscale("symlog", base=2, linthresh=smallest, linscale=1)
        axes.set_xlim(levels[0], levels[-1])
        axes.set_xticks(levels, [f"{eps:.3g}" for eps in levels])
        axes.minorticks_off()
        finish(axes, board, "l-inf budget eps (grey levels, /255)" if unit == 255 else "l2 budget eps")
        axes.set_ylabel("mAP (%), seeds' 95 % intervals shaded")
        own = number(board.subject["eps"])
        if own is not None:
            axes.axvline(unit * own, color="0.6", linewidth=0.7, linestyle=":", zorder=0)
            axes.text(unit * own, 101, "eps of the tables", fontsize=6, ha="center", va="bottom", color="0.35")
        draw_legend(axes, board, list(lines), known)
    return figure


def draw_recall(board: LeaderboardFiles) -> Figure | None:
    """Draw precision against recall as the Hamming radius grows, clean and under the worst attack.

    None where no counts of queries were kept.
    """
    worst = {row["defense"]: row.get("worst_attack", "") for row in board.ranking}
    panels: dict[str, dict[str, Line]] = {"clean": {}, "under its worst attack": {}}
    leaders = leading(board.defenses)
    for defense in leaders:
        for panel, attack in zip(panels, ("none", worst.get(defense) or ""), strict=True):
            line = _recall_of(board, board.cells(defense, attack))
            if line:
                panels[panel][defense] = line
    panels = {name: lines for name, lines in panels.items() if lines}
    if not panels:
        return None
    names = [defense for defense in leaders if any(defense in lines for lines in panels.values())]
    with mpl.rc_context(STYLE):
        figure, grid = titled_axes(board, names, len(panels), LEGEND)
        known = marks(leaders)
        for axes, (panel, lines) in zip(grid, panels.items(), strict=True):
            for defense, line in lines.items():
                axes.plot(*np.array(line).T, **{**known[defense].style, "markersize": 3}, markevery=2, clip_on=False)
            axes.set_xlim(0, 100)
            named = "share of relevant items" if axes is grid[0] else ""
            finish(axes, board, f"recall (%), {panel}", level=_relevant_share(board), named=named)
            axes.set_ylabel("precision (%)" if axes is grid[0] else "")
        draw_legend(grid[-1], board, names, known, "a mark every other\nHamming radius, from 0")
    return figure


def _curve_of(rows: Iterable[Row], defense: str, unit: float) -> list[tuple[float, float, float, float]]:
    """Budgets times a unit with the mean mAP over seeds and the outermost ends of their intervals, in percent."""
    found: dict[float, list[tuple[float, float, float]]] = {}
    for row in rows:
        eps, middle = number(row.get("eps")), number(row.get("map"))
        if row["defense"] == defense and eps is not None and middle is not None:
            low, high = number(row.get("ci_low")), number(row.get("ci_high"))
            bounds = (middle if low is None else low, middle if high is None else high)
            found.setdefault(round(unit * eps, 3), []).append((middle, *bounds))
    ends = {eps: tuple(zip(*values, strict=True)) for eps, values in sorted(found.items())}
    return [(eps, 100 * float(np.mean(m)), 100 * min(low), 100 * max(high)) for eps, (m, low, high) in ends.items()]


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
