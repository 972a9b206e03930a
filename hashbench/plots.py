"""Pictures for papers."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("agg")

from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from hashbench.leaderboard import Leaderboard

COLOURS = "cividis"  # even in lightness, so it survives grey print and colour-blind eyes
STYLE: dict[Any, Any] = {"font.size": 8, "axes.linewidth": 0.6, "font.family": "DejaVu Sans"}


def save_matrix(board: Leaderboard, path: Path) -> None:
    """Save a heat map of mAP in percent, defenses by attacks.

    The colour scale runs from 0 to 100, with the chance level marked on it. A square at or below
    chance has an asterisk, one without a valid number is hatched; targeted attacks have t-MAP.
    """
    with mpl.rc_context(STYLE):
        width = 2.6 + 0.85 * len(board.attacks)
        figure = Figure(figsize=(width, 1.55 + 0.42 * len(board.defenses)), layout="constrained", dpi=300)
        axes = figure.subplots()
        _draw_squares(axes, board)
        _label_axes(axes, board)
        _draw_scale(figure, axes, board)
        draft = path.with_name(f".{path.name}")
        figure.savefig(draft, format="png", metadata={"Software": "hashbench"})
    draft.replace(path)


def _draw_squares(axes: Axes, board: Leaderboard) -> None:
    scale, colours = Normalize(0, 100), mpl.colormaps[COLOURS]
    for row, defense in enumerate(board.defenses):
        for column, attack in enumerate(board.attacks):
            values = [100 * value for value in board.values(defense, attack)]
            corner = (column - 0.5, row - 0.5)
            if not values:
                axes.add_patch(Rectangle(corner, 1, 1, facecolor="0.92", edgecolor="0.6", hatch="////", linewidth=0))
                axes.text(column, row, "invalid", ha="center", va="center", color="0.2", fontstyle="italic")
                continue
            level = sum(values) / len(values)
            axes.add_patch(Rectangle(corner, 1, 1, facecolor=colours(scale(level)), edgecolor="white", linewidth=0.8))
            chance = board.chance_of(attack)
            below = not board.targeted(attack) and chance is not None and level <= 100 * chance
            axes.text(
                column, row, _annotation(level, values, below), ha="center", va="center",
                color="black" if level > 55 else "white", linespacing=1.3,
            )  # fmt: skip


def _annotation(level: float, values: list[float], below: bool) -> str:
    spread = f"\n±{_deviation(values):.1f}" if len(values) > 1 else ""
    return f"{level:.1f}{'*' if below else ''}{spread}"


def _deviation(values: list[float]) -> float:
    mean = sum(values) / len(values)
    return float((sum((v - mean) ** 2 for v in values) / (len(values) - 1)) ** 0.5)


def _label_axes(axes: Axes, board: Leaderboard) -> None:
    axes.set_xlim(-0.5, len(board.attacks) - 0.5)
    axes.set_ylim(len(board.defenses) - 0.5, -0.5)
    axes.set_xticks(range(len(board.attacks)), [_wrapped(board.column(label), "clean") for label in board.attacks])
    axes.set_yticks(range(len(board.defenses)), [_wrapped(label, "undefended") for label in board.defenses])
    below = board.chance is not None and any("*" in text.get_text() for text in axes.texts)
    axes.set_xlabel("attack" + ("\n(* at or below chance)" if below else ""))
    axes.set_ylabel("defense")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_title("\n".join(textwrap.wrap(board.title, 24 + 12 * len(board.attacks))), fontsize=8)


def _wrapped(label: str, plain: str) -> str:
    return plain if label == "none" else label.replace(":", ":\n").replace(",", ",\n")


def _draw_scale(figure: Figure, axes: Axes, board: Leaderboard) -> None:
    colours: Any = mpl.cm.ScalarMappable(Normalize(0, 100), COLOURS)
    bar = figure.colorbar(colours, ax=axes, pad=0.03, aspect=14)
    bar.set_label("mAP (%)")
    bar.outline.set_visible(False)
    if board.chance is not None:
        level = 100 * board.chance
        bar.ax.axhline(level, color="white", linewidth=1.2)
        bar.ax.annotate(
            f"chance {level:.1f}", (0, level), xytext=(-2, 0), textcoords="offset points", fontsize=6,
            ha="right", va="center", rotation=90, xycoords=("axes fraction", "data"),
        )  # fmt: skip
