"""Which defense is best: the per-query worst case over attacks, with intervals, differences and rank groups."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np
import pandas as pd

from hashbench.boards.certificates import IN_RANKING, NO_CERTIFICATES, Certificates, DefenseCertificate, of_defenses
from hashbench.boards.intervals import ConfidenceInterval, Reader, intervals, level_intervals, scored
from hashbench.boards.leaderboard import Leaderboard
from hashbench.boards.pairing import CLEAN, Cells, mean_known, training_cost
from hashbench.boards.tables import rounded
from hashbench.digests import digest
from hashbench.errors import BadInput
from hashbench.evaluation.flags import FLAGS
from hashbench.metrics.bootstrap import ALPHA, Floats, holm
from hashbench.registry.tracks import ATTACK_SETS, ranking_attack, trained_on_more
from hashbench.running.cell import ADAPTIVE
from hashbench.running.store import Result

Flags = Mapping[str, Sequence[str]]  # of defenses, by label
NO_FLAGS: Flags = MappingProxyType({})

REFERENCE = "cgat"
HIDDEN = "the true worst case may be lower"
VARYING = "its codes differ from pass to pass, so that nobody can verify its numbers"
# Flags that cost the rank, with the reason: collapsed codes, signs that attacks were hindered, numbers that vary.
DISQUALIFYING = {
    "collapsed_codes": HIDDEN,
    **{flag.name: HIDDEN for flag in FLAGS.values() if flag.masking},
    "stochastic": VARYING,
    "train_mode": VARYING,
    "high_tie_mass": "the order of tied items decides on its mAP",
}
RANKED, FLAGGED, BELOW_CHANCE, INVALID, INCOMPLETE = "ranked", "flagged", "below chance", "invalid", "incomplete"
UNRANKED, MORE_DATA = "unranked", "more data"  # measured without a versioned attack set; trained on more than others
COLUMNS = [
    "rank", "defense", "seeds", "map_clean", "map_worst", "ci_low", "ci_high", *IN_RANKING, "worst_attack",
    "attack_set", "attack_set_digest", "attacks", "delta_vs_cgat", "delta_ci_low", "delta_ci_high", "p_holm",
    "rank_group", "chance_map", "n_queries", "train_cost", "flags", "status", "note",
]  # fmt: skip


@dataclass(frozen=True, eq=False)
class RankingRow:
    """One defense's row of the ranking. mAPs in [0, 1]; None if there is no value.

    `worst` holds the per-query minima over the attacks and the clean query, [seeds, queries]; `delta` is the
    difference between its mean and the reference's, paired by seed and query.
    """

    defense: str
    status: str
    note: str
    flags: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    attacks: tuple[str, ...] = ()
    attack_set: tuple[str, str] = ("", "")
    worst_attack: str = ""
    worst: Floats = field(default_factory=lambda: np.empty((0, 0)))
    clean: float | None = None
    chance: float | None = None
    cost: float | None = None
    interval: ConfidenceInterval | None = None
    delta: ConfidenceInterval | None = None
    p_holm: float | None = None
    certificate: DefenseCertificate = field(default_factory=DefenseCertificate)
    rank: int | None = None
    group: int | None = None

    @property
    def value(self) -> float | None:
        """Mean worst case over seeds and queries."""
        return float(self.worst.mean()) if self.worst.size else None


def rank(
    board: Leaderboard,
    arrays: Reader,
    flags: Flags = NO_FLAGS,
    certificates: Certificates = NO_CERTIFICATES,
    *,
    clean_counts: bool = True,
) -> tuple[RankingRow, ...]:
    """The ranking of a board's defenses, the highest worst case first.

    All untargeted attacks by adaptive attackers count, and no others; an attack that raises a query's AP leaves the
    clean query as its worst case. A defense is not ranked if it lacks an attack that another has, has an invalid
    cell, is at or below chance, has a flag that costs the rank, was not measured with a versioned attack set, or was
    trained on images of the database too.

    Args:
        arrays: returns the per-query arrays of a cell.
        flags: the flags of each defense.
        certificates: of the board's models; they rank nothing.
        clean_counts: whether the clean query counts, as it does since version 2 of the ranking.

    Raises:
        BadInput: cells of one board have different queries.
    """
    cells = {
        (r.identity["defense"], r.identity["attack"], r.identity["seed"]): r
        for r in board.results
        if r.identity["attacker"] == ADAPTIVE and r.identity["goal"] == "untargeted"
    }
    attacks = tuple(sorted({attack for _, attack, _ in cells if attack != CLEAN}))
    found = [
        _row(cells, defense, attacks, arrays, tuple(sorted(set(flags.get(defense, ())))), clean_counts)
        for defense in board.defenses
    ]
    found.sort(key=lambda s: (s.value is None, -(s.value or 0), s.defense))
    own = level_intervals([row.worst for row in found])
    proved = of_defenses([(row.defense, row.seeds) for row in found], certificates)
    found = [replace(row, interval=i, certificate=c) for row, i, c in zip(found, own, proved, strict=True)]
    return tuple(_grouped(_compared(found, _reference(cells, found))))


def is_flagged(flags: Iterable[str]) -> bool:
    """Whether one of some flags costs the rank, since the numbers of its row can't be trusted."""
    return any(flag in DISQUALIFYING for flag in flags)


def table(ranking: Sequence[RankingRow]) -> pd.DataFrame:
    """One row per defense, with the columns of ranking.csv."""
    rows = [
        {
            "rank": s.rank, "defense": s.defense, "seeds": " ".join(map(str, s.seeds)), "map_clean": s.clean,
            "map_worst": s.value, "worst_attack": s.worst_attack, "attack_set": s.attack_set[0],
            "attack_set_digest": s.attack_set[1], "attacks": " ".join(s.attacks), "p_holm": s.p_holm,
            "rank_group": s.group, "chance_map": s.chance,
            "n_queries": s.worst.shape[1] or None, "train_cost": s.cost, "flags": " ".join(s.flags),
            "status": s.status, **s.certificate.columns,
            "note": "; ".join(words for words in (s.note, s.certificate.note) if words),
            **_columns(s.interval, ci_low="low", ci_high="high"),
            **_columns(s.delta, delta_vs_cgat="mean", delta_ci_low="low", delta_ci_high="high"),
        }
        for s in ranking
    ]  # fmt: skip
    return rounded(rows, COLUMNS)


def _columns(interval: ConfidenceInterval | None, **names: str) -> dict[str, float | None]:
    return {column: getattr(interval, name, None) for column, name in names.items()}


def _row(
    cells: Cells, defense: str, attacks: tuple[str, ...], arrays: Reader, flags: tuple[str, ...], clean_counts: bool
) -> RankingRow:
    """A defense's row, not yet compared with others."""
    own = {(attack, seed): r for (name, attack, seed), r in cells.items() if name == defense}
    values = {
        place: held["average_precision"]
        for place, r in own.items()
        if r.status == "valid" and "average_precision" in (held := arrays(r))
    }
    seeds = tuple(sorted({seed for _, seed in own}))
    whole = tuple(s for s in seeds if attacks and all((attack, s) in values for attack in attacks))
    used = attacks if whole else tuple(a for a in attacks if all((a, s) in values for s in seeds))
    seeds = whole or seeds
    has_clean = all((CLEAN, s) in values for s in seeds)
    row = RankingRow(defense, RANKED, "", flags, seeds, used)
    if used:
        still = [CLEAN] if clean_counts and has_clean else []
        by_attack = _stack([[values[attack, s] for s in seeds] for attack in (*used, *still)])
        row = replace(
            row,
            worst=by_attack.min(axis=0),
            worst_attack=_lowest(used, by_attack[: len(used)]),
            attack_set=_attack_set([own[attack, seeds[0]] for attack in used]),
        )
    clean = [own[CLEAN, s] for s in seeds if (CLEAN, s) in own and own[CLEAN, s].numbers]
    row = replace(
        row,
        clean=mean_known([r.numbers["map"] for r in clean]),
        chance=mean_known([r.numbers["chance_map"] for (_, s), r in own.items() if s in seeds and r.numbers]),
        cost=mean_known([training_cost(cells, defense, s) for s in seeds]),
    )
    status, note = _verdict(row, own, attacks, bool(whole), has_clean or not clean_counts)
    return replace(row, status=status, note=note)


def _verdict(
    row: RankingRow, own: Mapping[tuple[str, int], Result], attacks: tuple[str, ...], whole: bool, has_clean: bool
) -> tuple[str, str]:
    """The status of a row and the reason for it, if any, as text."""
    for (attack, seed), result in own.items():
        if result.status != "valid":
            return INVALID, f"invalid under {attack}, seed {seed}: {result.reason}"
    if not attacks:
        return INCOMPLETE, "no untargeted attack was run; add --attack"
    if not whole:
        lacking = sorted(set(attacks) - set(row.attacks))
        return INCOMPLETE, f"has no per-query values under {', '.join(lacking)}, which others have; run it with them"
    if not has_clean:
        return INCOMPLETE, "has no per-query values of its clean queries; run it again"
    by_reason: dict[str, list[str]] = {}
    for flag in row.flags:
        if flag in DISQUALIFYING:
            by_reason.setdefault(DISQUALIFYING[flag], []).append(flag)
    if by_reason:
        return FLAGGED, "; ".join(f"{', '.join(flags)}: {reason}" for reason, flags in by_reason.items())
    value, chance = row.value, row.chance
    if value is not None and chance is not None and value <= chance:
        return BELOW_CHANCE, f"a model that gives one code to everything scores {100 * chance:.1f}"
    if trained_on_more(row.defense):
        return MORE_DATA, "trained on images of the database too, without labels; compare it with rows that were"
    if not set(ATTACK_SETS) & set(row.attacks):
        return UNRANKED, f"run it with --attack {ranking_attack([result.identity for result in own.values()])}"
    left_out = sorted({seed for _, seed in own} - set(row.seeds))
    return RANKED, f"left out, not all attacks: seed {' '.join(map(str, left_out))}" if left_out else ""


def _stack(values: list[list[Floats]]) -> Floats:
    """APs [attacks, seeds, queries] of the queries that have one."""
    if len({len(array) for row in values for array in row}) > 1:
        raise BadInput("cells of one leaderboard have different numbers of queries; run them again with --fresh")
    whole = np.asarray(values)
    return scored(whole.reshape(-1, whole.shape[2])).reshape(*whole.shape[:2], -1)


def _lowest(attacks: tuple[str, ...], values: Floats) -> str:
    """The attack that is most often the lowest, over queries and seeds; ties go to the lower mean."""
    often = (values <= values.min(axis=0)).sum(axis=(1, 2))
    return min(zip(-often, values.mean(axis=(1, 2)), attacks, strict=True))[2]


def _attack_set(results: list[Result]) -> tuple[str, str]:
    """The name of an attack set, given one cell per attack, and a digest of their labels and parameters."""
    params = {r.identity["attack"]: r.identity["attack_params"] for r in results}
    name = next((name for attack, name in ATTACK_SETS.items() if attack in params), "custom")
    return name, digest(sorted(params.items()))


def _reference(cells: Cells, found: Sequence[RankingRow]) -> str:
    """The label of the reference defense: the tuned one, or else the one that is highest; empty if there is none."""
    own = {d: r for (d, *_), r in cells.items() if d.partition(":")[0] == REFERENCE}
    tuned = [label for label in sorted(own) if own[label].identity.get("tuned")]
    fair = [row.defense for row in found if row.defense in own and row.value is not None and row.status != MORE_DATA]
    return next(iter([*tuned, *fair]), "")


def _compared(found: list[RankingRow], reference: str) -> list[RankingRow]:
    """The same rows with their differences from the reference, Holm-corrected over all that have one."""
    base = next((s for s in found if s.defense == reference), None)
    if base is None:
        return found
    others = [s for s in found if s is not base]
    deltas = intervals([_difference(s, base) for s in others])
    corrected = _holm(deltas)
    compared = {
        s.defense: replace(s, delta=delta, p_holm=p) for s, delta, p in zip(others, deltas, corrected, strict=True)
    }
    return [compared.get(s.defense, s) for s in found]


def _grouped(found: list[RankingRow]) -> list[RankingRow]:
    """The same rows with rank and group: a row that differs from the first row of the current group opens a new one.

    p is Holm-corrected over all rows that are compared with the same first row.
    """
    places: dict[str, tuple[int, int]] = {}
    rest, group = [s for s in found if s.status == RANKED], 0
    while rest:
        group += 1
        corrected = _holm(intervals([_difference(rest[0], s) for s in rest[1:]]))
        apart = (number for number, p in enumerate(corrected, 1) if p is not None and p < ALPHA)
        size = next(apart, len(rest))
        for row in rest[:size]:
            places[row.defense] = (len(places) + 1, group)
        rest = rest[size:]
    return [
        replace(s, rank=places[s.defense][0], group=places[s.defense][1]) if s.defense in places else s for s in found
    ]


def _difference(one: RankingRow, other: RankingRow) -> Floats:
    """Paired differences of the worst cases [shared seeds, queries]; empty if they can't be paired."""
    seeds = [s for s in one.seeds if s in other.seeds]
    if not (seeds and one.worst.size and other.worst.size):
        return np.empty((0, 0))
    rows = [[row.seeds.index(s) for s in seeds] for row in (one, other)]
    first, second = one.worst[rows[0]], other.worst[rows[1]]
    if first.shape != second.shape:
        raise BadInput(f"{one.defense} and {other.defense} have different queries; run both again with --fresh")
    return first - second


def _holm(found: Sequence[ConfidenceInterval | None]) -> list[float | None]:
    """Corrected p values, in order; None for a missing interval."""
    corrected = iter(holm([interval.p for interval in found if interval]))
    return [next(corrected) if interval else None for interval in found]
