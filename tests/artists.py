"""What a figure shows, as plain values: each line, bar, text, frame and scale with its place, colours and sizes.

Pictures are held against such descriptions instead of bytes of files, which change with every release of matplotlib.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.collections import Collection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch, Patch
from matplotlib.path import Path as Path2D
from matplotlib.text import Annotation, Text

Shown = dict[str, Any]
PLACE = 0.2  # points by which a place may differ
LEGEND = (
    "_ncols", "_loc", "borderaxespad", "borderpad", "handlelength", "handletextpad", "labelspacing", "columnspacing",
    "_fontsize",
)  # fmt: skip


def described(figure: Figure) -> Shown:
    """A figure as plain values; places are points from the lower left corner."""
    whole = figure.bbox
    return {
        "size": [round(float(side), 4) for side in figure.get_size_inches()],
        "dpi": figure.dpi,
        "layout": type(figure.get_layout_engine()).__name__,
        "texts": [_text(text) for text in figure.texts],
        "legends": [_legend(legend) for legend in figure.legends],
        "axes": [_axes(axes) for axes in figure.axes],
        "corner": _points(np.array([[whole.x1, whole.y1]]), figure.dpi),
    }


def _axes(axes: Axes) -> Shown:
    legend = axes.get_legend()
    return {
        "place": _points(axes.get_position().corners()[[0, 3]] * 72 * _inches(axes), 72),
        "title": _text(axes.title),
        "scales": [axes.get_xscale(), axes.get_yscale(), str(axes.get_aspect())],
        "limits": [*map(_number, (*axes.get_xlim(), *axes.get_ylim()))],
        "margins": _numbers([vars(axes)["_xmargin"], vars(axes)["_ymargin"]]),
        "below": axes.get_axisbelow(),
        "x": _axis(axes.xaxis),
        "y": _axis(axes.yaxis),
        "spines": {name: _frame(spine) if spine.get_visible() else None for name, spine in axes.spines.items()},
        "lines": [_line(line) for line in axes.lines],
        "patches": [_patch(patch) for patch in axes.patches],
        "texts": [_text(text) for text in axes.texts],
        "collections": [_collection(one) for one in axes.collections],
        "images": [_image(image) for image in axes.images],
        "legend": _legend(legend) if legend else None,
        "insets": [_axes(inset) for inset in axes.child_axes if isinstance(inset, Axes)],
        "layer": axes.get_zorder(),
    }


def _axis(axis: Axis) -> Shown:
    ticks = axis.get_major_ticks()
    first = ticks[0] if ticks else None
    line = first and first.gridline
    return {
        "label": _text(axis.label) if axis.label.get_text() else None,
        "ticks": [_number(place) for place in axis.get_majorticklocs()],
        "minor": len(axis.get_minorticklocs()),
        "names": [label.get_text() for label in axis.get_ticklabels()],
        "size": first and [label.get_fontsize() for label in (first.label1, first.label2)],
        "length": first and [_number(mark.get_markersize()) for mark in (first.tick1line, first.tick2line)],
        "named": first and [label.get_visible() for label in (first.label1, first.label2)],
        "pad": first and _number(vars(first)["_base_pad"]),
        "grid": _frame(line) if line and line.get_visible() else None,
    }


def _line(line: Line2D) -> Shown:
    marker = line.get_marker()
    return {
        "points": _points(line.get_transform().transform(np.asarray(line.get_xydata())), _dpi(line)),
        "marker": _numbers(marker.vertices) if isinstance(marker, Path2D) else str(marker),
        "marks": [line.get_markersize(), line.get_markeredgewidth(), line.get_markevery()],
        "mark_colours": [_colour(line.get_markerfacecolor()), _colour(line.get_markeredgecolor())],
        **_frame(line), **_common(line),
    }  # fmt: skip


def _frame(line: Line2D | Patch) -> Shown:
    colour = line.get_color() if isinstance(line, Line2D) else line.get_edgecolor()
    dashes = line._unscaled_dash_pattern if isinstance(line, Line2D) else line.get_linestyle()  # type: ignore[attr-defined]
    return {"colour": _colour(colour), "width": line.get_linewidth(), "dashes": str(dashes)}


def _patch(patch: Patch) -> Shown:
    if isinstance(patch, FancyArrowPatch):
        return {"arrow": [patch.shrinkA, patch.shrinkB, str(patch.get_arrowstyle()).split(" ")[0]], **_frame(patch)}
    corners = patch.get_path().get_extents(patch.get_transform()).get_points()
    return {
        "kind": type(patch).__name__, "corners": _points(corners, _dpi(patch)), "fill": _colour(patch.get_facecolor()),
        "hatch": patch.get_hatch(), **_frame(patch), **_common(patch),
    }  # fmt: skip


def _text(text: Text) -> Shown:
    paper, spacing = text.get_bbox_patch(), text._linespacing  # type: ignore[attr-defined]
    found = {
        "text": text.get_text(), "size": text.get_fontsize(), "colour": _colour(text.get_color()),
        "font": [text.get_fontstyle(), text.get_fontweight(), *text.get_fontfamily()],
        "held": [text.get_horizontalalignment(), text.get_verticalalignment(), text.get_rotation()],
        "spacing": 1.2 if spacing == "normal" else spacing,
        "paper": paper and {"fill": _colour(paper.get_facecolor()), **_frame(paper)}, **_common(text),
    }  # fmt: skip
    if isinstance(text, Annotation):
        found |= {"at": _numbers([text.xy, text.xyann]), "in": [_units(text.xycoords), _units(text.anncoords)]}
        found["clipped"] = text.get_annotation_clip()
        found["arrow"] = text.arrow_patch and _patch(text.arrow_patch)
    else:
        place = np.array([text.get_unitless_position()])
        found["place"] = _points(text.get_transform().transform(place), _dpi(text))
    return found


def _units(units: Any) -> Any:
    return list(units) if isinstance(units, tuple) else units if isinstance(units, str) else type(units).__name__


def _legend(legend: Legend) -> Shown:
    title = legend.get_title()
    return {
        "names": [_text(text) for text in legend.get_texts()],
        "handles": [_handle(handle) for handle in legend.legend_handles if handle],
        "title": [title.get_text(), title.get_fontsize()],
        "form": {name: getattr(legend, name) for name in LEGEND},
        "alignment": legend.get_alignment(),
        "frame": legend.get_frame_on(),
        "anchor": _points(legend.get_bbox_to_anchor().get_points(), _dpi(legend)),
        "outside": getattr(legend, "_outside_loc", None),
    }


def _handle(handle: Artist) -> Shown:
    if isinstance(handle, Line2D):
        return {name: value for name, value in _line(handle).items() if name != "points"}
    assert isinstance(handle, Patch)
    return {"fill": _colour(handle.get_facecolor()), **_frame(handle)}


def _collection(one: Collection) -> Shown:
    offsets = one.get_offset_transform().transform(np.asarray(one.get_offsets()))
    paths = [path.get_extents(one.get_transform()).get_points() for path in one.get_paths()]
    return {
        "kind": type(one).__name__, "offsets": _points(offsets, _dpi(one)),
        "paths": [_points(path, _dpi(one)) for path in paths[:1]],
        "fill": sorted({_colour(colour) for colour in one.get_facecolor()}),
        "sizes": _numbers(one.get_sizes()) if hasattr(one, "get_sizes") else None,
        "widths": _numbers(one.get_linewidth()), "map": one.get_cmap().name, "range": _numbers(one.get_clim()),
        **_common(one),
    }  # fmt: skip


def _image(image: AxesImage) -> Shown:
    values = np.asarray(image.get_array())
    return {
        "values": [list(values.shape), *_numbers([values.min(), values.mean(), values.max()])],
        "map": image.get_cmap().name, "range": _numbers(image.get_clim()),
        "interpolation": image.get_interpolation(), **_common(image),
    }  # fmt: skip


def _common(artist: Artist) -> Shown:
    return {
        "layer": artist.get_zorder(), "alpha": artist.get_alpha(), "clip": artist.get_clip_on(),
        "visible": artist.get_visible(),
    }  # fmt: skip


def _inches(artist: Artist) -> Any:
    figure = artist.get_figure(root=True)
    assert figure
    return figure.get_size_inches()


def _dpi(artist: Artist) -> float:
    figure = artist.get_figure(root=True)
    return figure.dpi if figure else 72.0


def _points(places: Any, dpi: float) -> list[Any]:
    found = np.round(np.asarray(places, float) * 72 / dpi, 2)
    return [[_number(value) for value in place] for place in found]


def _numbers(values: Any) -> Any:
    if np.ndim(values):
        return [_numbers(value) for value in values]
    return None if values is None else _number(values)


def _number(value: Any) -> float | None:
    return round(float(value), 4) if math.isfinite(value) else None


def _colour(colour: Any) -> str:
    if isinstance(colour, np.ndarray) and colour.ndim > 1:
        colour = colour[0]
    return "none" if isinstance(colour, str) and colour == "none" else to_hex(colour, keep_alpha=True)


def differences(wanted: Any, found: Any, path: str = "") -> Iterator[str]:
    """Where two descriptions differ: places by more than `PLACE`, anything else at all."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        for name in sorted({*wanted, *found}):
            yield from differences(wanted.get(name), found.get(name), f"{path}.{name}")
    elif isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        for number, pair in enumerate(zip(wanted, found, strict=True)):
            yield from differences(*pair, f"{path}[{number}]")
    elif isinstance(wanted, float) and isinstance(found, float) and path.rpartition(".")[2].startswith(PLACES):
        if abs(wanted - found) > PLACE:
            yield f"{path}: {wanted} -> {found}"
    elif wanted != found:
        yield f"{path}: {wanted!r} -> {found!r}"


PLACES = ("place", "points", "corners", "anchor", "offsets", "paths", "corner")


def _filled(shown: Any) -> Any:
    """A description without what is empty."""
    if isinstance(shown, dict):
        return {name: _filled(value) for name, value in shown.items() if value not in (None, [], {}, "")}
    return [_filled(value) for value in shown] if isinstance(shown, list) else shown


def held(figure: Figure, path: Path, *, anew: bool) -> list[str]:
    """Where a figure differs from the description in a file, which is written anew where that is wanted."""
    shown = json.loads(json.dumps(_filled(described(figure))))
    if anew:
        path.write_text(
            json.dumps(shown, indent=None, separators=(",", ":")).replace("},{", "},\n{") + "\n", encoding="utf-8"
        )
    return [*differences(json.loads(path.read_text(encoding="utf-8")), shown)]
