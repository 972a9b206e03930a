"""The picture of models under corruptions: mAP against the strength of each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from hashbench.boards.plots.latex import save_corruptions_table
from hashbench.boards.plots.marks import CHANCE, Mark, marks, titles
from hashbench.boards.plots.matrix import FORMATS, LATEX, STYLE, TWO, remove_pictures, save_figure, wrapped_title

ACROSS, HIGH = 4, 1.75  # panels in a row, and inches of each


def save_corruptions(
    table: pd.DataFrame, means: pd.DataFrame, title: str, path: Path, formats: Sequence[str] = FORMATS
) -> None:
    """Save a panel for each corruption: a line for each defense, from the clean queries at strength 0 to strength 5.

    The dashed line is the chance level. The legend has the mean corrupted mAP of each defense, the highest first.

    Args:
        table: one row per defense, seed, corruption and strength.
        means: one row per defense, in the order of the legend.
        path: without an ending, which is added.
        formats: endings of the files, with tex for the means as a LaTeX table; those of before in others are removed.
    """
    names = list(dict.fromkeys(table["corruption"]))
    defenses = list(means["defense"])
    known, short = marks(defenses), titles(defenses)
    rows = -(-len(names) // ACROSS)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(TWO, 0.9 + HIGH * rows + 0.17 * -(-len(defenses) // 3)), layout="constrained", dpi=300)
        panels = figure.subplots(rows, ACROSS, sharex=True, sharey=True, squeeze=False).flatten()
        for panel in panels[len(names) :]:
            panel.remove()
        for place, name in enumerate(names):
            _draw(panels[place], name, table[table["corruption"] == name], defenses, known)
            lowest = place + ACROSS >= len(names)
            panels[place].tick_params(labelbottom=lowest)
            panels[place].set_xlabel("strength" if lowest else "")
        figure.supylabel("mAP (%)", fontsize=8)
        figure.suptitle(wrapped_title(f"mAP under corruptions; {title}", TWO), fontsize=8)
        lines = [Line2D([], [], **known[defense].style) for defense in defenses]
        words = [
            f"{short[defense]}: {100 * float(mean):.1f}"
            for defense, mean in zip(defenses, means["map_corrupted"], strict=True)
        ]
        figure.legend(
            [*lines, Line2D([], [], **CHANCE)], [*words, "chance"], loc="outside lower center", ncols=3, frameon=False,
            fontsize=7, title="mean over all corruptions and strengths", title_fontsize=7,
        )  # fmt: skip
        save_figure(figure, path, [form for form in formats if form != LATEX])
    if LATEX in formats:
        save_corruptions_table(means, title, path)
    remove_pictures(path.parent, [path.name], [f"{path.name}.{form}" for form in formats])


def _draw(panel: Axes, name: str, rows: pd.DataFrame, defenses: Sequence[str], known: dict[str, Mark]) -> None:
    """One corruption's lines, means over seeds."""
    for defense in reversed(defenses):
        own = rows[rows["defense"] == defense]
        by_strength = own.groupby("strength")["map"].apply(lambda values: 100 * values.astype(float).mean())
        heights = [100 * own["map_clean"].astype(float).mean(), *by_strength]
        panel.plot([0, *by_strength.index], heights, **known[defense].style)
    panel.axhline(100 * rows["chance_map"].astype(float).mean(), **CHANCE)
    panel.set_title(name, fontsize=8)
    panel.set_ylim(0, 103)
    panel.set_xticks(range(6), ["clean", *map(str, range(1, 6))])
    panel.grid(color="0.92", linewidth=0.5)
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)
