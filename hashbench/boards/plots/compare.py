"""The pictures of a comparison of two defenses: differences under each attack, and query by query."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from hashbench.boards.compare import WORST, Comparison
from hashbench.boards.plots.matrix import LETTER, STYLE, save_figure, wrapped_title
from hashbench.registry.short_labels import defense_name

SURE, UNSURE = "#0072b2", "0.45"


def save_comparison(comparison: Comparison, path: Path) -> None:
    """Save differences as points with their 95 % intervals, in mAP points, beside a line at zero.

    A filled point is a difference that chance does not explain, an open one may be none; the worst
    case is a diamond.

    Args:
        path: without an ending; there will be a PNG and an SVG.
    """
    one, other = map(defense_name, comparison.pairing.defenses)
    rows = comparison.rows
    names = [f"{row.attack} t-MAP" if row.measure == "t_map" else row.attack for row in rows]
    width = 3.6 + LETTER * max(map(len, names))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width, 1.5 + 0.3 * len(rows)), layout="constrained", dpi=300)
        axes = figure.subplots()
        axes.axvline(0, color="black", linewidth=0.8)
        for place, row in enumerate(rows):
            colour = SURE if row.told_apart else UNSURE
            axes.plot([100 * row.low, 100 * row.high], [place, place], color=colour, linewidth=1.4)
            axes.plot(
                [100 * row.difference], [place], marker="D" if row.attack == WORST else "o", markersize=5,
                markeredgecolor=colour, markerfacecolor=colour if row.told_apart else "white", linestyle="none",
            )  # fmt: skip
        axes.set_yticks(range(len(rows)), names)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.margins(x=0.12)
        axes.tick_params(axis="y", length=0)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.set_xlabel("difference in mAP points, 95 % interval\n(filled: Holm-corrected p < 0.05)")
        title = f"{one} (right is better) against {other} (left is better)"
        axes.set_title(wrapped_title(title, width), fontsize=8)
        save_figure(figure, path)


def save_queries(comparison: Comparison, path: Path) -> None:
    """Save the comparison's last row as one point per query: one defense on the x axis, the other on the y axis.

    Points above the diagonal are queries that the second defense keeps better, or for a targeted attack
    gives away more.

    Args:
        path: without an ending; there will be a PNG and an SVG.
    """
    (one, other), row = map(defense_name, comparison.pairing.defenses), comparison.rows[-1]
    across, upwards = (100 * values for values in comparison.queries)
    measure = "t-AP" if row.measure == "t_map" else "AP"
    seeds = len(comparison.pairing.seeds)
    place = row.attack if row.attack == WORST else f"under {row.attack}"
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(3.6, 3.8), layout="constrained", dpi=300)
        axes = figure.subplots()
        axes.axline((0, 0), slope=1, color="0.35", linewidth=0.8, zorder=1)
        axes.scatter(across, upwards, s=9, color=SURE, alpha=0.55, linewidths=0, zorder=2)
        means = (float(across.mean()), float(upwards.mean()))
        axes.plot(*([value] for value in means), marker="P", markersize=9, color="black", markeredgecolor="white")
        axes.set(xlim=(-2, 102), ylim=(-2, 102), aspect="equal")
        axes.set_xlabel(f"{measure} of {one} (%)")
        axes.set_ylabel(f"{measure} of {other} (%)")
        axes.grid(color="0.92", linewidth=0.5)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        averaged = f", means of {seeds} seeds" if seeds > 1 else ""
        above, below = int((upwards > across).sum()), int((upwards < across).sum())
        title = f"{place}: {len(across)} queries{averaged}; {above} above the diagonal, {below} below; + is the mean"
        axes.set_title(wrapped_title(title, 3.4), fontsize=8)
        save_figure(figure, path)
