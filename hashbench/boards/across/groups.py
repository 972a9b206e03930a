"""Which boards may be compared with each other, and the worst cases of their ranked defenses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hashbench.boards.files import LeaderboardFiles, Row, number
from hashbench.boards.intervals import scored
from hashbench.boards.pairing import CLEAN
from hashbench.boards.query_files import DIGESTS, LARGEST, QUERIES, read_digests
from hashbench.boards.ranking import RANKED
from hashbench.errors import BadInput
from hashbench.metrics.bootstrap import Floats
from hashbench.readers.npz_files import read_arrays
from hashbench.registry.tracks import track_of, words_of
from hashbench.running.cell import ADAPTIVE

VALUES = "average_precision"  # the array of a per-query file
ROUNDED = 2e-6  # how far a table's mean may be from that of the arrays
SUBJECT = ("dataset", "split_digest", "backbone", "method", "training", "bits", "norm", "eps")
PART = ("backbone", "method", "training", "bits")  # what boards share that differ in the data set alone
PLAIN = ("training", "clean")  # goes without saying
LEAST = 2  # boards of a group, and defenses that are ranked on all of them


@dataclass(frozen=True, eq=False)
class ComparedBoard:
    """A board with the worst cases of its ranked defenses [seeds, queries], by label, the highest mean first.

    Attributes:
        rows: the rows of its ranking that are compared, those without a rank among them.
    """

    files: LeaderboardFiles
    rows: Sequence[Row]
    worst: Mapping[str, Floats]

    @property
    def track(self) -> tuple[str, ...]:
        """What must agree for two boards to be compared: protocol, norm or patch, access and attack set."""
        return track_of_board(self.files)

    @property
    def about(self) -> Row:
        """Data set, network, method, training, bits and budget, as people write them."""
        names = ("dataset", "backbone", "method", "training", "bits")
        return {**{name: self.files.subject[name] for name in names}, "eps": self.files.eps}


@dataclass(frozen=True, eq=False)
class BoardGroup:
    """Boards of one track that are compared: those of one network on several data sets, or all.

    Attributes:
        title: the track, and what the boards share, for people.
        named: of each board its title in this group, by place.
        called: of each label its name in this group: without parameters where no board has two such rows.
    """

    title: str
    boards: tuple[ComparedBoard, ...]
    named: Mapping[str, str]
    called: Mapping[str, str]

    @property
    def common(self) -> list[str]:
        """Names of the defenses that are ranked on every board, in the order of the first."""
        ranked = [{self.called[label] for label in board.worst} for board in self.boards]
        return [name for label in self.boards[0].worst if all((name := self.called[label]) in own for own in ranked)]


def track_of_board(board: LeaderboardFiles) -> tuple[str, ...]:
    """Protocol, norm or patch, access and attack set of a board; the attack set is empty where no row is ranked."""
    one = board.subject
    sets = [row.get("attack_set", "") for row in board.ranking if row.get("status") == RANKED]
    return one["protocol_version"], one["norm"], track_of(one["access"]), next(iter(sets), "")


def board_groups(boards: Iterable[LeaderboardFiles]) -> list[BoardGroup]:
    """The groups of boards that are compared, each with two boards and two defenses ranked on all, at least.

    Boards of one track form a group, and those of them that differ in nothing but the data set and its budget form one
    each, where that is not the same; these form one more of their tuned rows alone, where there are others too, of the
    boards that make the largest table. The group of a track leaves out boards that do not rank the two defenses that
    most boards rank: one board of other rows does not end the comparison of all. Of boards of the same subject the one
    with the most ranked rows counts.

    Raises:
        BadInput: a per-query file is missing or damaged, or a table does not follow from them.
    """
    by_track: dict[tuple[str, ...], list[ComparedBoard]] = {}
    for board in filter(None, map(compared_board, each_subject_once(boards))):
        by_track.setdefault(board.track, []).append(board)
    found: list[BoardGroup] = []
    for track, own in sorted(by_track.items()):
        parts: dict[tuple[str, ...], list[ComparedBoard]] = {}
        for board in own:
            parts.setdefault(tuple(board.about[name] for name in PART), []).append(board)
        found += [group for _, part in sorted(parts.items()) for group in _groups_of_part(track, part)]
        if len(parts) > 1 and len(together := _ranked_together(own)) >= LEAST:
            found.append(_group(track, together, of=len(own)))
    return [group for group in found if len(group.boards) >= LEAST and len(group.common) >= LEAST]


def _ranked_together(boards: Sequence[ComparedBoard]) -> list[ComparedBoard]:
    """The boards that rank the two defenses which most boards rank; all of them, where all rank the same two."""
    ranked = _ranked_names(boards)
    counts = Counter(name for own in ranked for name in own)
    widest = set(sorted(counts, key=lambda name: (-counts[name], name))[:LEAST])
    return [board for board, own in zip(boards, ranked, strict=True) if widest <= own]


def _ranked_names(boards: Sequence[ComparedBoard]) -> list[set[str]]:
    """Of each board the names of the defenses that it ranks."""
    called = names_of([board.rows for board in boards])
    return [{called[label] for label in board.worst} for board in boards]


def compared_board(board: LeaderboardFiles) -> ComparedBoard | None:
    """A board with its worst cases; None without ranked rows, or without the digests of per-query files.

    Raises:
        BadInput: a per-query file is missing or damaged, or a table does not follow from them.
    """
    rows = [row for row in board.ranking if row.get("status") == RANKED]
    if not rows or not (board.folder / DIGESTS).is_file():
        return None
    still = (CLEAN,) if read_digests(board.folder).ranking > 1 else ()
    cells = {
        (row["defense"], row["attack"], row["seed"]): row
        for row in board.results
        if row.get("attacker") == ADAPTIVE and row.get("goal") == "untargeted"
    }
    found = {}
    for row in rows:
        attacks, seeds = (*row["attacks"].split(), *still), row["seeds"].split()
        wanted = [[cells.get((row["defense"], attack, seed)) for seed in seeds] for attack in attacks]
        found[row["defense"]] = _worst(board, row, wanted)
    return ComparedBoard(board, board.ranking, found)


def tuned_rows(board: ComparedBoard) -> ComparedBoard:
    """A board with none but the rows whose values were chosen by trials."""
    tuned = {row["defense"] for row in board.files.results if row.get("tuned")}
    worst = {label: values for label, values in board.worst.items() if label in tuned}
    return ComparedBoard(board.files, [row for row in board.rows if row["defense"] in tuned], worst)


def each_subject_once(boards: Iterable[LeaderboardFiles]) -> list[LeaderboardFiles]:
    """The boards with ranked rows by place; of those of one subject and track, the one with the most such rows."""
    best: dict[tuple[str, ...], tuple[int, LeaderboardFiles]] = {}
    for board in sorted(boards, key=lambda one: one.place):
        key = (*(board.subject[name] for name in SUBJECT), *track_of_board(board))
        count = sum(row.get("status") == RANKED for row in board.ranking)
        if count and (key not in best or count > best[key][0]):
            best[key] = (count, board)
    return [board for _, board in best.values()]


def names_of(boards: Sequence[Sequence[Row]]) -> dict[str, str]:
    """A name of each label of some boards: without parameters where no board has two rows of that name.

    Args:
        boards: of each board the rows of its ranking.
    """
    labels = [{row["defense"] for row in rows} for rows in boards]
    counts = [Counter(label.partition(":")[0] for label in own) for own in labels]
    twice = {name for count in counts for name, times in count.items() if times > 1}
    return {
        label: label if (name := label.partition(":")[0]) in twice else name for own in labels for label in sorted(own)
    }


def _worst(board: LeaderboardFiles, row: Row, cells: Sequence[Sequence[Row | None]]) -> Floats:
    """The lowest APs over attacks [seeds, queries] of the queries that have one.

    Args:
        cells: rows of results.csv [attacks, seeds].
    """
    wrong = f"{board.place}: the worst case of {row['defense']} does not follow from its per-query files"
    arrays = [[_values(board, cell) if cell else None for cell in line] for line in cells]
    values = [array for line in arrays for array in line if array is not None]
    if not cells or len(values) < sum(map(len, cells)) or len({len(array) for array in values}) > 1:
        raise BadInput(f"{wrong}; see 'hashbench verify {board.folder}'")
    whole = np.stack(values)
    kept = scored(whole).reshape(len(cells), len(cells[0]), -1)
    found: Floats = kept.min(axis=0)
    told = number(row.get("map_worst"))
    if told is None or found.shape[1] < LEAST or abs(float(found.mean()) - told) > ROUNDED:
        raise BadInput(f"{wrong}; see 'hashbench verify {board.folder}'")
    return found


def _values(board: LeaderboardFiles, cell: Row) -> Floats:
    path = board.folder / QUERIES / f"{cell['config_digest']}.npz"
    held = read_arrays(path, LARGEST, inside=board.folder)
    values = held.get(VALUES)
    if values is None or values.ndim != 1 or values.dtype.kind != "f":
        raise BadInput(f"{path} has no array {VALUES} of one number a query; write it again with 'hashbench report'")
    return np.asarray(values, dtype=np.float64)


def _groups_of_part(track: tuple[str, ...], boards: Sequence[ComparedBoard]) -> list[BoardGroup]:
    """The group of boards that differ in the data set alone, and one of their tuned rows where there are others."""
    tuned = [tuned_rows(board) for board in boards]
    apart = any(len(own.worst) < len(board.worst) for own, board in zip(tuned, boards, strict=True))
    ranked = _largest_table([own for own in tuned if len(own.worst) >= LEAST])
    return [_group(track, boards), *([_group(track, ranked, further="each tuned")] if ranked and apart else [])]


def _largest_table(boards: Sequence[ComparedBoard]) -> list[ComparedBoard]:
    """The boards that make the largest table with the defenses ranked on all of them, those with most rows first.

    So a board on which few rows are tuned does not end the comparison of the others.
    """
    longest = sorted(boards, key=lambda board: len(board.worst), reverse=True)

    def entries(count: int) -> int:
        return count * len(set.intersection(*_ranked_names(longest[:count])))

    best = max(range(len(boards), 0, -1), key=entries, default=0)
    return [board for board in boards if board in longest[:best]]


def _group(track: tuple[str, ...], boards: Sequence[ComparedBoard], *, of: int = 0, further: str = "") -> BoardGroup:
    """Boards of one track.

    Args:
        of: how many boards the track has, where these are of several networks, methods, trainings or code lengths.
        further: what else the rows share, for people.
    """
    _, norm, access, attacks = track
    about = {board.files.place: board.about for board in boards}
    first = boards[0].about
    varied = [name for name in first if name == "dataset" or len({one[name] for one in about.values()}) > 1]
    words = ", ".join([norm, *[words_of(access)] * bool(access), attacks])
    if of:
        shared = "all boards" if len(boards) == of else f"{len(boards)} of {of} boards"
    else:
        shared = ", ".join(filter(None, [_said(first, [n for n in PART if (n, first[n]) != PLAIN]), further]))
    named = {place: _said(one, varied) for place, one in about.items()}
    return BoardGroup(f"{words}: {shared}", tuple(boards), named, names_of([board.rows for board in boards]))


def _said(about: Row, names: Sequence[str]) -> str:
    words = {"bits": f"{about['bits']} bits", "eps": f"eps {about['eps']}"}
    return ", ".join(words.get(name, about[name]) for name in names)
