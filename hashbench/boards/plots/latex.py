"""A leaderboard's matrix as a LaTeX table with the rules of the package booktabs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hashbench.boards.leaderboard import Leaderboard
from hashbench.boards.plots.marks import left_out, titles
from hashbench.boards.plots.matrix import WORST, behind, in_order
from hashbench.running.shared_files import replaced

if TYPE_CHECKING:
    from hashbench.boards.ranking import RankingRow

FORM = "tex"
SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
}  # fmt: skip


def save_latex(board: Leaderboard, path: Path, ranking: Sequence[RankingRow] = ()) -> None:
    """Save the matrix as a LaTeX table: mAP in percent, t-MAP for targeted attacks; last what ranks and is certified.

    Rows stand in the order of the ranking. The highest worst case among ranked rows is bold.

    Args:
        path: without an ending, which is added.
    """
    with replaced(path.with_name(f"{path.name}.{FORM}")) as draft:
        draft.write_text(latex(board, ranking), encoding="utf-8", newline="\n")


def latex(board: Leaderboard, ranking: Sequence[RankingRow] = ()) -> str:
    """The text of the table, which needs the package booktabs."""
    last = behind(ranking)
    best = max((row.value for row in ranking if row.group and row.value is not None), default=None)
    names = ["clean" if attack == "none" else board.column(attack) for attack in board.attacks]
    names += last
    defenses = in_order(board, ranking)
    short = titles(defenses)
    lines = []
    for defense in defenses:
        squares = [_square(board, defense, attack) for attack in board.attacks]
        for name, levels in last.items():
            level = levels[defense][0] if defense in levels else None
            bold = name == WORST and level is not None and level == best
            squares.append(rf"\textbf{{{_percent(level)}}}" if bold else _percent(level))
        lines.append(_line([_escaped(short[defense]), *squares]))
    chance = _line([r"\emph{chance}", *(_percent(board.chance_of(attack)) for attack in board.attacks),
                    *(_percent(board.chance) for _ in last)])  # fmt: skip
    caption = f"{_escaped(board.title)}; mAP in percent. {_escaped(left_out(defenses))}".strip()
    return "\n".join([
        r"% needs \usepackage{booktabs}",
        r"\begin{table}", r"\centering", rf"\caption{{{caption}}}",
        rf"\begin{{tabular}}{{l{'r' * len(names)}}}", r"\toprule",
        _line(["defense", *map(_escaped, names)]), r"\midrule", *lines, r"\midrule", chance, r"\bottomrule",
        r"\end{tabular}", r"\end{table}", "",
    ])  # fmt: skip


def _square(board: Leaderboard, defense: str, attack: str) -> str:
    values = board.values(defense, attack)
    if not board.cells(defense, attack):
        return "--"
    return _percent(sum(values) / len(values)) if values else "invalid"


def _percent(level: float | None) -> str:
    return "--" if level is None else f"{100 * level:.1f}"


def _line(cells: Sequence[str]) -> str:
    return f"{' & '.join(cells)} \\\\"


def _escaped(text: str) -> str:
    return "".join(SPECIAL.get(letter, letter) for letter in text)
