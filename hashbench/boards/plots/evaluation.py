"""The picture of one model's evaluation: mAP under each attack, with intervals and the chance level."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from hashbench.boards.plots.marks import CHANCE, COLOURS
from hashbench.boards.plots.matrix import LETTER, STYLE, save_figure, wrapped_title

Bar = tuple[str, float, tuple[float, float] | None]
GREEN, BLUE, RED = COLOURS[2], COLOURS[0], COLOURS[1]
KNOWN = {"none": ("clean", GREEN), "worst": ("worst case", RED), "certified": ("certified", "0.45")}


class NotebookFigure(Figure):
    """A figure that a notebook shows, whether or not pyplot is loaded."""

    def _repr_png_(self) -> bytes:
        content = io.BytesIO()
        self.savefig(content, format="png", dpi=150)
        return content.getvalue()


def draw_evaluation(title: str, bars: Sequence[Bar], chance: float, path: Path | None = None) -> NotebookFigure:
    """A horizontal bar for each name, with its value and 95 % interval, beside a line at the chance level.

    Args:
        bars: a name, an mAP in [0, 1] and the bounds of its interval; `none` stands for the clean queries.
        path: without an ending; the picture is saved there as PNG and SVG.
    """
    names = [KNOWN.get(name, (name, BLUE))[0] for name, _, _ in bars]
    width = 3.8 + LETTER * max(map(len, names))
    with mpl.rc_context(STYLE):
        figure = NotebookFigure(figsize=(width, 1.2 + 0.3 * len(bars)), layout="constrained", dpi=300)
        axes = figure.subplots()
        for place, (name, value, bounds) in enumerate(bars):
            axes.barh(place, 100 * value, height=0.62, color=KNOWN.get(name, ("", BLUE))[1], alpha=0.85)
            if bounds:
                axes.plot([100 * bounds[0], 100 * bounds[1]], [place, place], color="black", linewidth=1.0)
            end = 100 * max(value, bounds[1] if bounds else value)
            axes.text(end + 1.2, place, f"{100 * value:.1f}", va="center", fontsize=7)
        axes.axvline(100 * chance, **CHANCE)
        axes.text(
            100 * chance + 1, -0.55, f"chance {100 * chance:.1f}", fontsize=6, ha="left", va="bottom", color="0.35"
        )
        axes.set_yticks(range(len(bars)), names)
        axes.set_ylim(len(bars) - 0.5, -0.9)
        axes.set_xlim(0, 108)
        axes.set_xticks(range(0, 101, 20))
        axes.tick_params(axis="y", length=0)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_xlabel("mAP (%), 95 % interval over queries")
        axes.set_title(wrapped_title(title, width), fontsize=8)
        if path is not None:
            save_figure(figure, path)
    return figure
