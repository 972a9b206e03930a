"""A leaderboard's matrix, and means under corruptions, as LaTeX tables with the rules of the package booktabs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hashbench.boards.leaderboard import Leaderboard
from hashbench.boards.plots.marks import SIGN, left_out, of_flags, titles
from hashbench.boards.plots.matrix import LATEX, WORST, behind, in_order
from hashbench.boards.ranking import is_flagged
from hashbench.running.shared_files import replaced

if TYPE_CHECKING:
    import pandas as pd

    from hashbench.boards.ranking import RankingRow

SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    SIGN: r"\textdagger{}",
}  # fmt: skip


def save_latex(board: Leaderboard, path: Path, ranking: Sequence[RankingRow] = ()) -> None:
    """Save the matrix as a LaTeX table: mAP in percent, t-MAP for targeted attacks; last what ranks and is certified.

    Rows stand in the order of the ranking. The highest worst case among ranked rows is bold.

    Args:
        path: without an ending, which is added.
    """
    _save(latex(board, ranking), path)


def latex(board: Leaderboard, ranking: Sequence[RankingRow] = ()) -> str:
    """The text of the table, which needs the package booktabs."""
    last = behind(ranking)
    best = max((row.value for row in ranking if row.group and row.value is not None), default=None)
    names = ["clean" if attack == "none" else board.column(attack) for attack in board.attacks]
    names += last
    defenses = in_order(board, ranking)
    flagged = {row.defense for row in ranking if is_flagged(row.flags)}
    short = titles(defenses, flagged)
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
    told = of_flags(defenses, flagged)
    return _table(board.title, defenses, names, [*lines, r"\midrule", chance], told)


def save_corruptions_table(means: pd.DataFrame, title: str, path: Path) -> None:
    """Save the means of models under corruptions as a LaTeX table, in percent.

    Args:
        means: one row per defense, from `corruption_means`.
        path: without an ending, which is added.
    """
    defenses, short = list(means["defense"]), titles(list(means["defense"]))
    named = {"map_clean": "clean", "map_corrupted": "mean corrupted"}
    columns = [name for name in means.columns if name not in ("defense", "seeds", "ci_low", "ci_high", "kept")]
    lines = [
        _line([_escaped(short[row["defense"]]), *(_percent(row[name]) for name in columns)])
        for row in means.to_dict("records")
    ]
    names = [named.get(name, name.removesuffix("_map")) for name in columns]
    _save(_table(f"{title}; under corruptions", defenses, names, lines), path)


def _table(title: str, defenses: Sequence[str], names: Sequence[str], lines: Sequence[str], told: str = "") -> str:
    """The text of a table, which needs the package booktabs; its caption names what short names leave out."""
    said = " ".join(filter(None, (told, left_out(defenses))))
    caption = f"{_escaped(title)}; mAP in percent. {_escaped(said)}".strip()
    return "\n".join([
        r"% needs \usepackage{booktabs}",
        r"\begin{table}", r"\centering", rf"\caption{{{caption}}}",
        rf"\begin{{tabular}}{{l{'r' * len(names)}}}", r"\toprule",
        _line(["defense", *map(_escaped, names)]), r"\midrule", *lines, r"\bottomrule",
        r"\end{tabular}", r"\end{table}", "",
    ])  # fmt: skip


def _save(text: str, path: Path) -> None:
    with replaced(path.with_name(f"{path.name}.{LATEX}")) as draft:
        draft.write_text(text, encoding="utf-8", newline="\n")


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
