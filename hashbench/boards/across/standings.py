"""The rank of each defense on each of several boards, and how often it is first where these are drawn again.

Ranks over several data sets: Demsar 2006; bootstrap of ranks: Goldstein and Spiegelhalter 1996.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from hashbench.boards.across.groups import BoardGroup, ComparedBoard
from hashbench.boards.files import number
from hashbench.boards.tables import rounded
from hashbench.metrics.bootstrap import ALPHA, DRAWS, Floats, drawn_means

SEED = 0  # of all draws
OF_RANK = (
    "group", "board", "title", "defense", "label", "rank", "rank_low", "rank_high", "first_share", "map_worst",
    "ci_low", "ci_high", "status",
)  # fmt: skip
OF_FIRST = (
    "group", "place", "defense", "boards", "mean_rank", "mean_rank_low", "mean_rank_high", "first_queries",
    "first_boards", "first_both",
)  # fmt: skip


def ranks_table(groups: Sequence[BoardGroup], draws: int = DRAWS) -> pd.DataFrame:
    """One row per group, board and defense: its rank among the board's ranked rows with its 95 % interval.

    `first_share` is how often it has the highest worst case where queries and trainings are drawn again. Rows that
    are not ranked have a status only.
    """
    return rounded(
        [row for group in groups for board in group.boards for row in _board_rows(group, board, draws)], OF_RANK
    )


def first_table(groups: Sequence[BoardGroup], draws: int = DRAWS) -> pd.DataFrame:
    """One row per group and defense that is ranked on all of its boards, the lowest mean rank first.

    Ranks are those among these defenses, the mean goes over boards. How often the mean rank of a defense is the
    lowest: `first_queries` on these boards, with queries and trainings drawn again; `first_boards` with boards drawn
    again, as they are; `first_both`, with boards drawn again, and on each drawn board queries and trainings. The
    interval of the mean rank is of the last kind. Defenses that are first together share the draw.
    """
    return rounded([row for group in groups for row in _group_rows(group, draws)], OF_FIRST)


def ranks(values: Floats) -> Floats:
    """Ranks [rows, columns] in each column, 1 for the highest value; equal values share their mean rank.

    >>> ranks(np.array([[0.5, 0.1], [0.7, 0.1], [0.5, 0.3]])).tolist()
    [[2.5, 2.5], [1.0, 2.5], [2.5, 1.0]]
    """
    found = [(values > row).sum(axis=0) + ((values == row).sum(axis=0) + 1) / 2 for row in values]
    return np.stack(found)


def first_shares(lower_is_better: Floats) -> Floats:
    """How often each row of [rows, draws] is the lowest; rows that are so together share the draw.

    >>> first_shares(np.array([[1.0, 1.5, 2.0], [2.0, 1.5, 1.0]])).tolist()
    [0.5, 0.5]
    """
    first = lower_is_better == lower_is_better.min(axis=0)
    shares: Floats = (first / first.sum(axis=0)).mean(axis=1)
    return shares


def resampled_boards(of_boards: Floats, seed: int) -> Floats:
    """Mean ranks [rows, draws] over boards that are drawn with replacement.

    Args:
        of_boards: ranks [boards, rows, draws], or [boards, rows, 1] where boards are as they are; a board that is
            drawn twice has two different draws of its queries.
        seed: of the choice of boards.
    """
    random = np.random.default_rng([SEED, seed])
    count, rows, draws = of_boards.shape
    times = draws if draws > 1 else DRAWS
    total = np.zeros((rows, times))
    for _ in range(count):
        chosen = random.integers(count, size=times)
        columns = random.permutation(draws) if draws > 1 else np.zeros(times, dtype=np.int64)
        total += of_boards[chosen, :, columns].T
    means: Floats = total / count
    return means


def _board_rows(group: BoardGroup, board: ComparedBoard, draws: int) -> list[dict[str, Any]]:
    worst = list(board.worst.values())
    means = np.array([[values.mean()] for values in worst])
    drawn = ranks(drawn_means(worst, SEED, draws=draws))
    low, high = _bounds(drawn)
    own = {
        label: {"rank": rank, "rank_low": bottom, "rank_high": top, "first_share": share}
        for label, rank, bottom, top, share in zip(
            board.worst, *map(np.ndarray.tolist, (ranks(means)[:, 0], low, high, first_shares(drawn))), strict=True
        )
    }
    place = board.files.place
    return [
        {
            "group": group.title, "board": place, "title": group.named[place], "label": row["defense"],
            "defense": group.called[row["defense"]], "status": row.get("status", ""), **own.get(row["defense"], {}),
            **{name: number(row.get(name)) for name in ("map_worst", "ci_low", "ci_high")},
        }
        for row in board.rows
    ]  # fmt: skip


def _group_rows(group: BoardGroup, draws: int) -> list[dict[str, Any]]:
    names, splits = group.common, sorted({board.files.subject["split_digest"] for board in group.boards})
    as_they_are, drawn = [], []
    for place, board in enumerate(group.boards):
        by_name = {group.called[label]: values for label, values in board.worst.items()}
        worst = [by_name[name] for name in names]
        as_they_are.append(ranks(np.array([[values.mean()] for values in worst])))
        queries = splits.index(board.files.subject["split_digest"])  # boards of one split share their queries
        drawn.append(ranks(drawn_means(worst, queries, place, draws)))
    still, moving = np.stack(as_they_are), np.stack(drawn)
    both = resampled_boards(moving, 1)
    shares = [first_shares(means) for means in (moving.mean(axis=0), resampled_boards(still, 0), both)]
    columns = still.mean(axis=0)[:, 0], *_bounds(both), *shares
    rows = [
        {
            "group": group.title,
            "defense": name,
            "boards": len(group.boards),
            **dict(zip(OF_FIRST[4:], own, strict=True)),
        }
        for name, own in zip(names, zip(*map(np.ndarray.tolist, columns), strict=True), strict=True)
    ]
    rows.sort(key=lambda row: (row["mean_rank"], -row["first_both"], row["defense"]))
    return [{**row, "place": place} for place, row in enumerate(rows, 1)]


def _bounds(drawn: Floats) -> tuple[Floats, Floats]:
    """The 95 % interval of each row of [rows, draws], of ranks that occur."""
    low, high = np.quantile(drawn, [ALPHA / 2, 1 - ALPHA / 2], axis=1, method="inverted_cdf")
    return low, high
