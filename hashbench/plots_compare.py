"""The picture of a comparison of two defenses."""

from __future__ import annotations

import textwrap
from pathlib import Path

import matplotlib as mpl

mpl.use("agg")

from matplotlib.figure import Figure

from hashbench.compare import WORST, Comparison
from hashbench.plots import LETTER, STYLE

SURE, UNSURE = "#0072b2", "0.45"


def save_comparison(comparison: Comparison, path: Path) -> None:
    """Save differences as points with their 95 % intervals, in mAP points, beside a line at zero.

    A filled point is a difference that chance does not explain, an open one may be none; the worst
    case is a diamond.
    """
    one, other = comparison.pairing.defenses
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
        axes.set_title("\n".join(textwrap.wrap(title, int(width / LETTER))), fontsize=8)
        draft = path.with_name(f".{path.name}")
        figure.savefig(draft, format="png", metadata={"Software": "hashbench"})
    draft.replace(path)
