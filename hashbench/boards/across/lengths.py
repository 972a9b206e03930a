"""Boards that differ in nothing but the length of the codes: mAP against bits, read from their tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hashbench.boards.across.groups import LEAST, SUBJECT, each_subject_once, names_of, track_of_board
from hashbench.boards.files import LeaderboardFiles, Row, number
from hashbench.boards.leaderboard import folder_name, title_of

BITS = "bits"


@dataclass(frozen=True)
class LengthPoint:
    """What one defense reaches with codes of one length; mAPs in [0, 1], the worst case with its 95 % interval.

    `status` is that of its row: ranked, or why not.
    """

    bits: int
    clean: float
    worst: float
    low: float
    high: float
    status: str


@dataclass(frozen=True)
class LengthSeries:
    """One subject under one threat at several code lengths.

    Attributes:
        name: of its picture's files, without an ending.
        title: the subject and the threat.
        lines: of each defense with at least two lengths, from short to long, the highest worst case at the longest
            codes first.
        parameters: of defenses whose names leave some out, by name, for a caption.
        chance: mean over the boards.
    """

    name: str
    title: str
    lines: Mapping[str, tuple[LengthPoint, ...]]
    parameters: Mapping[str, str]
    chance: float | None


def length_series(boards: Iterable[LeaderboardFiles]) -> list[LengthSeries]:
    """The subjects that have boards of several code lengths under one threat, access and attack set, in order."""
    groups: dict[tuple[str, ...], list[LeaderboardFiles]] = {}
    for board in each_subject_once(boards):
        key = (*(board.subject[name] for name in SUBJECT if name != BITS), *track_of_board(board))
        groups.setdefault(key, []).append(board)
    found = [_series(own) for _, own in sorted(groups.items()) if len(own) >= LEAST]
    return [series for series in found if series.lines]


def _series(boards: list[LeaderboardFiles]) -> LengthSeries:
    boards = sorted(boards, key=lambda board: int(board.subject[BITS]))
    called, one = names_of([board.ranking for board in boards]), {**boards[0].subject, "eps": boards[0].exact_eps}
    lines: dict[str, list[LengthPoint]] = {}
    for board in boards:
        for row in board.ranking:
            if point := _point(int(board.subject[BITS]), row):
                lines.setdefault(called[row["defense"]], []).append(point)
    kept = {name: tuple(points) for name, points in lines.items() if len(points) >= LEAST}
    order = sorted(kept, key=lambda name: (-kept[name][-1].bits, -kept[name][-1].worst, name))
    lengths = "-".join(board.subject[BITS] for board in boards)
    name = folder_name(one).replace(f"-{one[BITS]}bit-", f"-{lengths}bit-", 1)
    title = title_of(one).replace(f"{one[BITS]} bits", f"{', '.join(board.subject[BITS] for board in boards)} bits", 1)
    levels = [level for board in boards if (level := board.chance) is not None]
    parameters = {name: label.partition(":")[2] for label, name in sorted(called.items()) if label != name}
    return LengthSeries(
        f"lengths-{name}", title, {name: kept[name] for name in order},
        {name: parameters[name] for name in order if name in parameters}, sum(levels) / len(levels) if levels else None,
    )  # fmt: skip


def _point(bits: int, row: Row) -> LengthPoint | None:
    clean, worst, low, high = (number(row.get(name)) for name in ("map_clean", "map_worst", "ci_low", "ci_high"))
    if clean is None or worst is None:
        return None
    ends = worst if low is None else low, worst if high is None else high
    return LengthPoint(bits, clean, worst, *ends, row.get("status", ""))
