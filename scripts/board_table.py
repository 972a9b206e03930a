#!/usr/bin/env python
"""Print a leaderboard as a Markdown table, from its ranking.csv: rank, clean, worst case, certified.

README.md and docs/boards.md hold such tables between two comments that name the folder, and in README.md the number of
rows; --write renews them all. Values that a preset stands for are written as the preset.

Example: scripts/board_table.py leaderboards/standard/digits-collage-cnn-csq-32bit-linf-32-255
Example: scripts/board_table.py --write
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pandas as pd

from hashbench.registry.short_labels import with_preset

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", ROOT / "docs/boards.md")
PLACE = re.compile(r"(<!-- (?:table|first (\d+) rows) of (\S+) -->\n).*?(<!-- end -->\n)", re.DOTALL)
FIXED = "\u00a0"  # a space at which no line ends
HEAD = "| rank | defense | clean | worst case | certified |\n|---|---|---|---|---|\n"


def main() -> None:
    """Print one table, or renew those of the pages."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("board", nargs="?", type=Path, help="a leaderboard's folder")
    parser.add_argument("--write", action="store_true", help="renew the tables of README.md and docs/boards.md")
    words = parser.parse_args()
    if words.write:
        for page in PAGES:
            page.write_text(renewed(page.read_text(encoding="utf-8")), encoding="utf-8")
    elif words.board:
        print(table(words.board), end="")
    else:
        parser.error("give a leaderboard's folder, or --write")


def renewed(text: str) -> str:
    """A text with its tables made again from the leaderboards that it names."""

    def made(found: re.Match[str]) -> str:
        begin, rows, board, end = found.groups()
        return f"{begin}{table(ROOT / board, int(rows) if rows else None)}{end}"

    return PLACE.sub(made, text)


def table(board: Path, first: int | None = None) -> str:
    """A leaderboard's rows, or the first of them, in the order of their ranks, then those without one; in percent."""
    rows = pd.read_csv(board / "ranking.csv", dtype=str, keep_default_na=False).to_dict("records")[:first]
    return HEAD + "".join(_line({str(name): str(value) for name, value in row.items()}) for row in rows)


def _line(row: dict[str, str]) -> str:
    worst = f"{_percent(row['map_worst'])}{FIXED}[{_percent(row['ci_low'])},{FIXED}{_percent(row['ci_high'])}]"
    name = "undefended" if row["defense"] == "none" else f"`{with_preset(row['defense'])}`"
    cells = (row["rank"] or row["status"], name, _percent(row["map_clean"]), worst, _percent(row.get("certified", "")))
    return f"| {' | '.join(cells)} |\n"


def _percent(share: str) -> str:
    return f"{100 * float(share):.1f}" if share else "-"


if __name__ == "__main__":
    main()
