"""Pictures and the page, drawn again from a board's tables and compared byte by byte."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

from hashbench.boards.leaderboard import Leaderboard
from hashbench.boards.page import NAME, page_text
from hashbench.boards.plots.matrix import FORMATS, LATEX
from hashbench.boards.query_files import ADDED, drawn_with, read_digests
from hashbench.boards.ranking import RankingRow
from hashbench.boards.write import save_all_pictures
from hashbench.errors import BadInput
from hashbench.evaluation.flags import meanings
from hashbench.readers.folders import list_files, read_bytes
from hashbench.verification.findings import Findings
from hashbench.verification.zoo import ZOO

LARGEST = 1 << 26  # bytes of a picture or a page
PDF = "pdf"
MOST = 300  # defenses or attacks of a board that is drawn


def check_pictures(folder: Path, board: Leaderboard, ranking: Sequence[RankingRow], found: Findings) -> None:
    """Draw a board's pictures anew and compare; with other versions of what draws them a note says so instead.

    Raises:
        BadInput: a table of the folder can't be read.
    """
    made = read_digests(folder).drawn_with
    own = drawn_with()
    if made and made != own:
        theirs, ours = (", ".join(f"{name} {version}" for name, version in sorted(w.items())) for w in (made, own))
        found.notes.append(f"pictures were not drawn again: they are said to be of {theirs}, here are {ours}")
        return
    if max(len(board.defenses), len(board.attacks)) > MOST:
        found.notes.append(f"pictures were not drawn again: the board has more than {MOST} defenses or attacks")
        return
    there = list_files(folder).files
    kept = [form for form in formats_of(there) if form != PDF]  # whose bytes change each time
    with tempfile.TemporaryDirectory() as place:
        draw_pictures(folder, Path(place), board, ranking, kept)
        drawn = sorted(path.name for path in Path(place).iterdir())
        missing = [name for name in drawn if name not in there]
        pictures = [n for n in there if n.endswith((".png", ".svg", ".tex")) and not n.startswith(ADDED)]
        odd = [name for name in pictures if name not in drawn]
        differing = [
            name
            for name in drawn
            if name in there and read_bytes(folder / name, LARGEST, folder) != (Path(place) / name).read_bytes()
        ]
    found.problems += [f"{name} is missing, which 'hashbench run' always writes" for name in missing]
    found.problems += [f"{name} is no picture of a board; leave it out" for name in odd]
    if differing and not made:
        found.warnings.append(
            f"{', '.join(differing)} differ from what is drawn here; which versions drew them is not known"
        )
    elif differing:
        found.problems += [
            f"{name} is not what its tables give; draw it with 'hashbench page --pictures'" for name in differing
        ]
    if pages := [name for name in there if name.endswith(f".{PDF}") and not name.startswith(ADDED)]:
        others = "; pictures in other formats were" if kept else ""
        found.notes.append(f"{len(pages)} PDFs were not compared, since their bytes change each time{others}")
    if added := [name for name in there if name.startswith(ADDED) and not name.startswith(f"{ZOO}/")]:
        found.notes.append(f"{len(added)} files of 'hashbench compare' and 'gallery' were not checked")


def check_page(out: Path) -> Findings:
    """Make the page of a folder of leaderboards again, and compare."""
    found = Findings()
    try:
        given = read_bytes(out / NAME, LARGEST, out)
        if given != page_text(out, meanings()).encode():
            found.problems.append(
                f"{NAME} is not what the leaderboards beside it give, or of another version; write it again with "
                f"'hashbench page {out}'"
            )
    except BadInput as error:
        found.problems.append(str(error))
    return found


def formats_of(names: Sequence[str]) -> list[str]:
    """The formats that a folder was drawn in: those of its matrix, or PNG and SVG where it has none."""
    return [form for form in (*FORMATS, PDF, LATEX) if f"matrix.{form}" in names] or list(FORMATS)


def draw_pictures(
    folder: Path, into: Path, board: Leaderboard, ranking: Sequence[RankingRow], formats: Sequence[str]
) -> None:
    """Draw the pictures of a board from its files.

    Raises:
        BadInput: they can't be drawn.
    """
    with warnings.catch_warnings(action="ignore"):  # of letters that the font lacks
        try:
            save_all_pictures(board, folder, into, ranking, formats)
        except (ValueError, ArithmeticError, LookupError) as error:
            raise BadInput(f"its pictures can't be drawn ({error}); write them again with 'hashbench report'") from None
