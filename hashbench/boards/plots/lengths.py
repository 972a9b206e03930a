"""The picture of one subject at several code lengths: mAP against bits, clean and in the worst case."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from hashbench.boards.across.lengths import LengthPoint, LengthSeries
from hashbench.boards.plots.marks import CHANCE, Mark, marks
from hashbench.boards.plots.matrix import FORMATS, LETTER, STYLE, TWO, save_figure, wrapped_title
from hashbench.boards.ranking import RANKED
from hashbench.registry.short_labels import defense_name

HEIGHT = 2.5  # inches of the axes
ROW, NOTE = 0.15, 0.1  # inches of a line of the legend and of the caption
SPREAD = 0.03  # by how much neighbouring lines are moved apart, as a share of a doubling of the length


def save_lengths(series: LengthSeries, path: Path, formats: Sequence[str] = FORMATS) -> None:
    """Save the picture of a series.

    Args:
        path: without an ending, which is added.
        formats: endings of the files.
    """
    with mpl.rc_context(STYLE):
        save_figure(draw_lengths(series), path, formats)


def draw_lengths(series: LengthSeries) -> Figure:
    """Draw two panels with a line for each defense: clean mAP, and the worst case with its 95 % intervals.

    Lines are moved apart a little, so that intervals at one length can be told apart. The dashed line is chance.
    """
    known = marks(list(series.lines))
    said = [f"{name} {words.replace(',', ', ')}" for name, words in series.parameters.items()]
    notes = textwrap.wrap(f"Parameters: {'; '.join(said)}.", int(1.55 * TWO / LETTER)) if said else []
    with mpl.rc_context(STYLE):
        tall = 0.6 + HEIGHT + ROW * -(-len(series.lines) // 4) + NOTE * len(notes)
        figure = Figure(figsize=(TWO, tall), layout="constrained", dpi=300)
        clean, worst = figure.subplots(1, 2, sharey=True)
        for axes, name in ((clean, "clean"), (worst, "worst case, 95 % intervals")):
            _draw(axes, series, known, bounded=axes is worst)
            axes.set_title(name, fontsize=8)
        clean.set_ylabel("mAP (%)")
        figure.suptitle(wrapped_title(series.title, TWO), fontsize=8)
        lines = [Line2D([], [], **known[name].style, label=_title(name, own)) for name, own in series.lines.items()]
        lines += [Line2D([], [], **CHANCE, label="chance")] if series.chance is not None else []
        figure.legend(
            handles=lines, loc="outside lower center", ncols=4, frameon=False, fontsize=7, title="\n".join(notes),
            title_fontsize=5,
        )  # fmt: skip
    return figure


def _draw(axes: Axes, series: LengthSeries, known: dict[str, Mark], *, bounded: bool) -> None:
    lengths = sorted({point.bits for points in series.lines.values() for point in points})
    middle = (len(series.lines) - 1) / 2
    for place, (name, points) in enumerate(series.lines.items()):
        across = [point.bits * 2 ** (SPREAD * (place - middle)) for point in points]
        heights = [100 * (point.worst if bounded else point.clean) for point in points]
        if bounded:
            ends = [[100 * (p.worst - p.low) for p in points], [100 * (p.high - p.worst) for p in points]]
            clipped = [[max(0.0, end) for end in one] for one in ends]
            axes.errorbar(across, heights, clipped, fmt="none", ecolor=known[name].colour, elinewidth=0.7, zorder=2)
        axes.plot(across, heights, **known[name].style, zorder=3)
    if series.chance is not None:
        axes.axhline(100 * series.chance, **CHANCE)
    axes.set_xscale("log", base=2)
    axes.set_xticks(lengths, [str(bits) for bits in lengths])
    axes.minorticks_off()
    axes.set_xlim(lengths[0] / 2**0.4, lengths[-1] * 2**0.4)
    axes.set_ylim(0, 103)
    axes.set_xlabel("bits")
    axes.grid(color="0.92", linewidth=0.5)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _title(name: str, points: Sequence[LengthPoint]) -> str:
    """What the legend calls a line, with the reasons why its rows are not ranked, where some are not."""
    reasons = dict.fromkeys(point.status for point in points if point.status != RANKED)
    return f"{defense_name(name)} ({', '.join(reasons)})" if reasons else defense_name(name)
