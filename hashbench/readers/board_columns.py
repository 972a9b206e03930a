"""The columns of a leaderboard's tables: declarations against which foreign tables are checked.

A column that is not named here is text: it may be anything in one line. Only invalid cells have free text.
"""

from __future__ import annotations

from collections.abc import Mapping

from hashbench.readers.csv_tables import Column
from hashbench.readers.toml_files import LARGEST_SEED, MOST_BITS, WIDEST

_LARGEST = 2**63 - 1
_Columns = dict[str, Column]


def _named(names: str, column: Column) -> _Columns:
    return dict.fromkeys(names.split(), column)


SHARE = Column(float, optional=True, low=0, high=1)
BOUND = Column(
    float, optional=True
)  # of an interval; on older boards that of two trainings may reach far over the ends
DIFFERENCE = Column(float, optional=True, low=-1, high=1)
AMOUNT = Column(float, optional=True, low=0)
COUNT = Column(int, optional=True, low=0, high=_LARGEST)
SEED = Column(int, low=0, high=LARGEST_SEED)
EPS = Column(float, low=0, high=WIDEST)  # of l2; what the norm allows is checked where a row's cell is

RESULTS: Mapping[str, Column] = {
    **_named("schema_version protocol_version", Column(int, low=0, high=_LARGEST)),
    "bits": Column(int, low=1, high=MOST_BITS),
    "eps": EPS,
    "seed": SEED,
    "goal": Column(choices=("untargeted", "targeted")),
    **_named("map_clean certified map map_low map_high map_at_k precision_radius_2 chance_map map_8bit", SHARE),
    **_named("ci_low ci_high t_ci_low t_ci_high", BOUND),
    **_named("relevant_fraction bit_entropy map_own success_rate linf_max", SHARE),
    **_named("t_map t_map_low t_map_high t_map_clean t_chance_map", SHARE),
    **_named("k distinct_codes n_queries n_without_relevant n_database", COUNT),
    **_named("bits_moved l2_mean forwards backwards helper_forwards helper_backwards", AMOUNT),
    **_named("train_forwards train_backwards", AMOUNT),
    "range_ok": Column(bool, optional=True),
    "status": Column(choices=("valid", "invalid")),
    "reason": Column(plain=False),
}
RANKING: Mapping[str, Column] = {
    "rank": COUNT,
    **_named("map_clean map_worst p_holm chance_map certified untouched_share", SHARE),
    **_named("ci_low ci_high certified_ci_low certified_ci_high delta_ci_low delta_ci_high", BOUND),
    "free_bits": AMOUNT,
    "delta_vs_cgat": DIFFERENCE,
    "n_queries": COUNT,
    "train_cost": AMOUNT,
}
SANITY: Mapping[str, Column] = {
    "seed": SEED,
    **_named("n_queries distinct_codes classes train_mode_left", COUNT),
    **_named("map_clean chance_map tie_width unstable_share zero_gradient_share saturated_share map_plain", SHARE),
    **_named("map_gentle map_one_step map_white_box map_black_box map_transfer map_noise map_unbounded", SHARE),
    "batch_change": AMOUNT,
}
CURVE: Mapping[str, Column] = {
    "seed": SEED,
    "eps": EPS,
    "map": SHARE,
    **_named("ci_low ci_high", BOUND),
    "n_queries": COUNT,
}
PROVENANCE: Mapping[str, Column] = {
    "seed": SEED,
    **_named("attack_seconds train_seconds peak_memory_mb", AMOUNT),
    "threads": COUNT,
    "code_dirty": Column(bool, optional=True),
}
PLACE = Column(float, optional=True, low=1, high=_LARGEST)  # a rank, or a mean of some
RANKS: Mapping[str, Column] = {
    **_named("rank rank_low rank_high", PLACE),
    **_named("first_share map_worst", SHARE),
    **_named("ci_low ci_high", BOUND),
}
FIRST: Mapping[str, Column] = {
    **_named("place boards", COUNT),
    **_named("mean_rank mean_rank_low mean_rank_high", PLACE),
    **_named("first_queries first_boards first_both", SHARE),
}
TUNED: Mapping[str, Column] = {
    **_named("dataset backbone method", Column()),
    "bits": Column(int, low=1, high=MOST_BITS),
    **_named("training split_digest norm", Column()),
    "eps": EPS,
    **_named("attack seed defense trial", Column()),
    **_named("map_clean map", SHARE),
    "chosen": Column(choices=("yes", "no")),
}
TABLES: Mapping[str, Mapping[str, Column]] = {
    "results": RESULTS, "ranking": RANKING, "sanity": SANITY, "curve": CURVE, "provenance": PROVENANCE,
    "ranks": RANKS, "first": FIRST,
}  # fmt: skip


def declared(table: str, header: tuple[str, ...]) -> _Columns:
    """The declaration of every column of a table's header; one that is not known is text in one line.

    Args:
        table: a key of TABLES.
    """
    return {name: TABLES[table].get(name, Column()) for name in header}
