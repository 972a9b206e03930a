"""The picture of single attacked queries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.path import Path as Path2D

from hashbench.boards.examples import SHOWN, AttackedExamples, Picture, Retrieved, Shown
from hashbench.boards.plots.matrix import STYLE, save_figure
from hashbench.registry.short_labels import defense_name
from hashbench.threat import format_threat

RIGHT, WRONG = "#0072b2", "#d55e00"
SIDE, GAP = 0.62, 0.09  # inches of an image, and between two
ROW, BLOCK = 0.98, 2.15  # inches of a row with its caption, and of a query


def save_examples(examples: AttackedExamples, path: Path) -> None:
    """Save two rows per query: clean above, attacked below, each with the first items it retrieves.

    A right item has a blue solid frame and a tick, a wrong one an orange dashed frame and a cross. The
    perturbation is enlarged so that the budget fills the scale, around grey; for l2 so that its largest change does.

    Args:
        path: without an ending; there will be a PNG and an SVG.
    """
    across = 0.95 + (SHOWN + 2) * (SIDE + GAP) + 0.35
    down = BLOCK * len(examples.queries) + 0.75
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(across, down), dpi=300)
        identity = examples.cell.identity
        figure.text(0.12 / across, 1 - 0.1 / down, _title(examples), fontsize=8, va="top", linespacing=1.4)
        for place, shown in enumerate(examples.queries):
            full = float(identity["eps"])
            if identity["norm"] != "linf":  # which bounds no single pixel
                full = float(np.abs(shown.adversarial - shown.clean).max())
            _draw_block(figure, shown, 0.72 + place * BLOCK, full, examples.targeted)
        save_figure(figure, path)


def _title(examples: AttackedExamples) -> str:
    identity = examples.cell.identity
    subject = f"{identity['dataset']}, {identity['backbone']}, {identity['method']}, {identity['bits']} bits"
    what = "the target's labels" if examples.targeted else "the query's labels"
    return (
        f"{defense_name(identity['defense'])} under {identity['attack']}; {subject}; "
        f"{format_threat(identity['norm'], identity['eps'])}; seed {identity['seed']}\n"
        f"tick and solid blue frame: shares one of {what}; cross and dashed orange frame: shares none; "
        "d: Hamming distance"
    )


def _draw_block(figure: Figure, shown: Shown, top: float, full: float, targeted: bool) -> None:
    """Draw one query at a distance from the top, in inches."""
    measure = "t-AP" if targeted else "AP"
    for row, (name, image, found) in enumerate(
        (("clean", shown.clean, shown.before), ("attacked", shown.adversarial, shown.after))
    ):
        height = top + 0.22 + row * ROW
        score = (
            f"{measure} {100 * found.average_precision:.1f} %"
            if found.average_precision == found.average_precision
            else ""
        )
        _write(figure, 0.12, height + 0.2, f"query {shown.position}\n{name}\n{score}")
        _draw(_axes(figure, 0.95, height), image)
        if row:
            scale = 0.5 / full if full else 1.0
            delta = np.clip(0.5 + scale * (shown.adversarial - shown.clean), 0, 1)
            _draw(_axes(figure, 0.95 + SIDE + GAP, height), delta)
            _write(figure, 0.95 + SIDE + GAP, height + SIDE + 0.12, f"change x {scale:.3g}")
        _draw_retrieved(figure, found, height)


def _draw_retrieved(figure: Figure, found: Retrieved, height: float) -> None:
    items = zip(found.images, found.right, found.distances, strict=True)
    start = 0.95 + 2 * (SIDE + GAP) + 0.2
    for place, (image, right, distance) in enumerate(items):
        left = start + place * (SIDE + GAP)
        axes = _axes(figure, left, height)
        _draw(axes, image)
        for spine in axes.spines.values():
            spine.set(visible=True, color=RIGHT if right else WRONG, linewidth=1.8, linestyle="-" if right else "--")
        _sign(axes, right)
        _write(figure, left, height + SIDE + 0.12, f"d {distance}")
    if found.tied > len(found.images):
        text = f"{found.tied} items lie within d {found.distances[-1]}; those shown of one d are drawn at random"
        _write(figure, start, height - 0.1, text)


def _sign(axes: Axes, right: bool) -> None:
    """Draw a tick or a cross on the upper right corner."""
    spot: dict[str, Any] = {"transform": axes.transAxes, "clip_on": False, "zorder": 5, "linestyle": "none"}
    axes.plot([1], [1], marker="o", markersize=7.5, color="white", markeredgecolor="0.6", markeredgewidth=0.4, **spot)
    if right:
        tick = Path2D([(-1, 0), (-0.3, -0.8), (1, 0.9)], [Path2D.MOVETO, Path2D.LINETO, Path2D.LINETO])
        spot |= {"marker": tick, "markeredgecolor": RIGHT, "markerfacecolor": "none"}
        axes.plot([1], [1], markersize=4, markeredgewidth=1.1, **spot)
    else:
        axes.plot([1], [1], marker="x", color=WRONG, markersize=3.6, markeredgewidth=1.1, **spot)


def _axes(figure: Figure, left: float, top: float) -> Axes:
    """Axes of an image at a place in inches from the upper left corner."""
    across, down = figure.get_size_inches()
    return figure.add_axes((left / across, 1 - (top + SIDE) / down, SIDE / across, SIDE / down))


def _draw(axes: Axes, image: Picture) -> None:
    axes.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="none")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def _write(figure: Figure, left: float, top: float, text: str) -> None:
    across, down = figure.get_size_inches()
    figure.text(left / across, 1 - top / down, text, fontsize=6, va="center")
