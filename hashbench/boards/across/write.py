"""Writes what boards say side by side into the folder `across` beside them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hashbench.boards.across.groups import board_groups
from hashbench.boards.across.lengths import length_series
from hashbench.boards.across.standings import first_table, ranks_table
from hashbench.boards.files import LeaderboardFiles
from hashbench.boards.plots.lengths import save_lengths
from hashbench.boards.query_files import DIGESTS, RANKING_VERSION, FolderDigests, write_digests
from hashbench.boards.tables import write_table, writing

ACROSS = "across"  # the folder
RANKS, FIRST = "ranks.csv", "first.csv"
OWN = (RANKS, FIRST, DIGESTS, "lengths-*.png", "lengths-*.svg")  # what is taken away when it is written again


def write_across(out: Path, boards: Sequence[LeaderboardFiles], into: Path | None = None) -> Path | None:
    """Write ranks.csv, first.csv and a picture of mAP against bits for each subject of several code lengths.

    Returns the folder, `across` inside a folder of leaderboards; None where no two boards can be compared, and then
    there is no such folder.

    Args:
        out: the folder of leaderboards.
        boards: what it holds, from `read_boards`.
        into: another folder for the files.

    Raises:
        BadInput: a per-query file is missing or damaged, or a table does not follow from them.
        StoreUnusable: the folder can't be written.
    """
    groups, lengths = board_groups(boards), length_series(boards)
    folder = into or out / ACROSS
    with writing(out):
        for path in [path for pattern in OWN for path in folder.glob(pattern)]:
            path.unlink(missing_ok=True)
        if not groups and not lengths:
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
            return None
    with writing(folder):
        if groups:
            write_table(folder / RANKS, ranks_table(groups))
            write_table(folder / FIRST, first_table(groups))
        for series in lengths:
            save_lengths(series, folder / series.name)
        write_digests(folder, FolderDigests({}, ranking=RANKING_VERSION))
    return folder
