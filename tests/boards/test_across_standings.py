"""Ranks on several boards, and how often a defense is first, against known answers."""

from __future__ import annotations

from math import comb
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from compared_boards import compared_board

from hashbench.boards.across.groups import BoardGroup, board_groups
from hashbench.boards.across.standings import first_table, ranks_table
from hashbench.boards.files import read_boards
from hashbench.errors import BadInput
from hashbench.metrics.bootstrap import drawn_means, estimate

QUERIES = 10
HIGH, LOW = np.full(QUERIES, 0.7), np.full(QUERIES, 0.4)
SHARE = 0.02  # four standard errors of a share in 10,000 draws


def groups_of(out: Path) -> list[BoardGroup]:
    return board_groups(read_boards(out))


def by_name(table: pd.DataFrame, column: str) -> dict[str, float]:
    return dict(zip(table["defense"], table[column], strict=True))


def test_a_defense_that_is_better_on_six_of_ten_queries_is_first_as_often_as_a_binomial_says(tmp_path: Path) -> None:
    one = np.where(np.arange(QUERIES) < 6, 0.6, 0.4)
    for dataset in ("digits", "emoji"):
        compared_board(tmp_path, {"one": one, "two": 1 - one}, dataset=dataset, split_digest=dataset)
    (group,) = groups_of(tmp_path)
    table = ranks_table([group])
    share = sum(comb(QUERIES, k) * 0.6**k * 0.4 ** (QUERIES - k) for k in range(6, QUERIES + 1))
    for place in table["board"].unique():
        own = table[table["board"] == place]
        assert by_name(own, "first_share")["one"] == pytest.approx(share, abs=SHARE)
        assert by_name(own, "first_share")["two"] == pytest.approx(1 - share, abs=SHARE)
        assert own[["rank", "rank_low", "rank_high"]].to_numpy().tolist() == [[1, 1, 2], [2, 1, 2]]
    first = first_table([group])
    # On two boards: first on both, or on one of them, where the draw is shared, s * s + s * (1 - s) = s.
    assert by_name(first, "first_queries")["one"] == pytest.approx(share, abs=SHARE)
    assert by_name(first, "first_boards") == {"one": 1, "two": 0}
    assert by_name(first, "first_both")["one"] == pytest.approx(share, abs=SHARE)


def test_two_boards_of_three_won_on_every_query_are_twenty_of_twenty_seven(tmp_path: Path) -> None:
    for dataset, best in (("digits", "one"), ("emoji", "one"), ("coco", "two")):
        values = {name: HIGH if name == best else LOW for name in ("one", "two")}
        compared_board(tmp_path, values, dataset=dataset)
    first = first_table(groups_of(tmp_path))
    assert first["defense"].tolist() == ["one", "two"]
    assert first["mean_rank"].tolist() == [1.333333, 1.666667]
    assert first[["mean_rank_low", "mean_rank_high"]].to_numpy().tolist() == [[1, 2], [1, 2]]  # 1/27 is above 2.5 %
    assert first["first_queries"].tolist() == [1, 0]
    for column in ("first_boards", "first_both"):
        assert first[column].tolist() == pytest.approx([20 / 27, 7 / 27], abs=SHARE)


def test_equal_defenses_share_rank_and_first_place(tmp_path: Path) -> None:
    for dataset in ("digits", "emoji"):
        compared_board(tmp_path, {"one": HIGH, "two": HIGH, "three": LOW}, dataset=dataset)
    groups = groups_of(tmp_path)
    assert by_name(ranks_table(groups), "rank") == {"one": 1.5, "two": 1.5, "three": 3}
    assert by_name(first_table(groups), "first_both") == {"one": 0.5, "two": 0.5, "three": 0}


def test_draws_of_one_row_are_those_of_its_interval() -> None:
    random = np.random.default_rng(0)
    values = random.random((1, 50))
    (drawn,), found = drawn_means([values]), estimate(values[None])
    assert np.quantile(drawn, [0.025, 0.975]) == pytest.approx([found.low[0], found.high[0]], abs=1e-12)
    several = values + np.array([[0.0], [0.03], [0.09]]) + 0.01 * random.standard_normal((3, 50))
    (drawn,), found = drawn_means([several]), estimate(several[None])
    low, high = np.quantile(drawn, [0.025, 0.975])
    assert high - low == pytest.approx(found.high[0] - found.low[0], rel=0.06)  # the same effect, drawn by itself


def test_trainings_that_differ_by_chance_alone_make_a_rank_uncertain(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    queries = random.uniform(0.3, 0.9, 40)
    for dataset in ("digits", "emoji"):
        steady = np.stack([queries, queries]) + 0.001 * random.standard_normal((2, 40))
        shaken = np.stack([queries - 0.06, queries + 0.05]) + 0.001 * random.standard_normal((2, 40))
        compared_board(tmp_path, {"steady": steady, "shaken": shaken}, dataset=dataset)
    table = ranks_table(groups_of(tmp_path))
    assert set(table["rank_high"]) == {2}
    assert 0.4 < by_name(table, "first_share")["steady"] < 0.6


def test_boards_of_one_track_are_compared_and_no_others(tmp_path: Path) -> None:
    values = {"one": HIGH, "two": LOW}
    for dataset in ("digits", "emoji"):
        compared_board(tmp_path, values, dataset=dataset)
        compared_board(tmp_path, values, dataset=dataset, norm="l2", eps=1.5)
        compared_board(tmp_path, values, dataset=dataset, access="ranking-top-50", attack_set="ranking-1")
    compared_board(tmp_path, values, dataset="coco", norm="patch-4", attack_set="patch-1")
    compared_board(tmp_path, values, dataset="nuswide", attack_set="standard-1")
    compared_board(tmp_path, values, dataset="cifar10", unranked=dict.fromkeys(values, "unranked"))
    found = {group.title: sorted(group.named.values()) for group in groups_of(tmp_path)}
    tracks = ("l2, standard-2", "linf, standard-2", "linf, attackers see the ids of the top 50, ranking-1")
    assert found == {f"{track}: cnn, csq, 32 bits": ["digits", "emoji"] for track in tracks}


def test_boards_of_one_network_form_a_group_beside_all_boards(tmp_path: Path) -> None:
    all_of_them = {"one": HIGH, "cgat:weight=3": (HIGH + LOW) / 2, "three": LOW}
    compared_board(tmp_path, all_of_them)
    compared_board(tmp_path, {**all_of_them, "broken": HIGH}, dataset="emoji", unranked={"broken": "flagged"})
    compared_board(tmp_path, {"one": HIGH, "cgat": LOW}, bits=64)
    part, whole = groups_of(tmp_path)
    assert (part.title, whole.title) == ("linf, standard-2: cnn, csq, 32 bits", "linf, standard-2: all boards")
    assert sorted(part.named.values()) == ["digits", "emoji"]
    assert sorted(whole.named.values()) == ["digits, 32 bits", "digits, 64 bits", "emoji, 32 bits"]
    assert (part.common, whole.common) == (["one", "cgat", "three"], ["one", "cgat"])
    table = ranks_table([part])
    broken = table[table["defense"] == "broken"]
    assert broken["status"].tolist() == ["flagged"]
    assert broken[["rank", "first_share"]].isna().all(axis=None)


def test_a_board_of_other_rows_does_not_end_the_comparison_of_all(tmp_path: Path) -> None:
    values = {"one": HIGH, "two": LOW}
    compared_board(tmp_path, values)
    compared_board(tmp_path, {**values, "three": LOW}, dataset="emoji")
    compared_board(tmp_path, values, bits=64)
    compared_board(tmp_path, {"one": HIGH, "three": LOW}, bits=16)
    _, whole = groups_of(tmp_path)
    assert whole.title == "linf, standard-2: 3 of 4 boards"
    assert sorted(whole.named.values()) == ["digits, 32 bits", "digits, 64 bits", "emoji, 32 bits"]
    assert whole.common == ["one", "two"]


def test_names_keep_their_parameters_where_a_board_has_two(tmp_path: Path) -> None:
    compared_board(tmp_path, {"cgat:weight=3": HIGH, "cgat": LOW, "lap:epochs=5": LOW})
    compared_board(tmp_path, {"cgat": HIGH, "lap": LOW}, dataset="emoji")
    (group,) = groups_of(tmp_path)
    assert group.common == ["cgat", "lap"]
    assert group.called["cgat:weight=3"] == "cgat:weight=3"


def test_tuned_rows_form_a_group_of_their_own_by_their_names(tmp_path: Path) -> None:
    values = {"digits": ("3", "1"), "emoji": ("9", "0.1"), "coco": ("1", "1")}
    for dataset, (cgat, lap) in values.items():
        chosen = (f"cgat:weight={cgat}", f"lap:weight={lap}")
        held = {"cgat": HIGH, chosen[0]: LOW, chosen[1]: HIGH, "s3:weight=2": LOW}
        tuned = () if dataset == "coco" else (*chosen, "s3:weight=2")
        failed = {"s3:weight=2": "flagged"} if dataset == "digits" else {}
        compared_board(tmp_path, held, dataset=dataset, tuned=tuned, unranked=failed)
    everything, tuned_group = groups_of(tmp_path)
    assert everything.title == "linf, standard-2: cnn, csq, 32 bits"
    assert len(everything.boards) == 3
    assert tuned_group.title == "linf, standard-2: cnn, csq, 32 bits, each tuned"
    assert [board.about["dataset"] for board in tuned_group.boards] == ["digits", "emoji"]
    assert tuned_group.common == ["lap", "cgat"]
    table = ranks_table([tuned_group])
    assert set(table["label"]) == {"cgat:weight=3", "lap:weight=1", "cgat:weight=9", "lap:weight=0.1", "s3:weight=2"}
    digits = table[table["title"] == "digits"].set_index("defense")
    assert digits["rank"].dropna().to_dict() == {"lap": 1, "cgat": 2}
    assert digits["status"]["s3"] == "flagged"
    assert by_name(first_table([tuned_group]), "first_both") == {"lap": 1, "cgat": 0}


@pytest.mark.parametrize(("tuned_there", "expected"), [(2, ["digits", "emoji"]), (4, ["digits", "coco", "emoji"])])
def test_a_board_with_few_tuned_rows_does_not_shorten_the_table_of_the_others(
    tmp_path: Path, tuned_there: int, expected: list[str]
) -> None:
    names = ("cgat", "lap", "saat", "s3")
    for dataset in ("digits", "coco", "emoji"):
        count = tuned_there if dataset == "coco" else len(names)
        rows = {
            f"{name}:weight={dataset.count('o') + 1}": LOW + place / 100 for place, name in enumerate(names[:count])
        }
        compared_board(tmp_path, {**rows, "plain": HIGH}, dataset=dataset, tuned=tuple(rows))
    everything, tuned_group = groups_of(tmp_path)
    assert len(everything.boards) == 3
    assert sorted(board.about["dataset"] for board in tuned_group.boards) == sorted(expected)
    assert len(tuned_group.common) == 4


def test_boards_with_nothing_but_tuned_rows_are_one_group(tmp_path: Path) -> None:
    for dataset in ("digits", "emoji"):
        compared_board(tmp_path, {"one": HIGH, "two": LOW}, dataset=dataset, tuned=("one", "two"))
    assert [group.title for group in groups_of(tmp_path)] == ["linf, standard-2: cnn, csq, 32 bits"]


def test_of_two_boards_of_a_subject_the_one_with_more_ranked_rows_counts(tmp_path: Path) -> None:
    compared_board(tmp_path, {"one": LOW, "two": HIGH}, name="few")
    compared_board(tmp_path, {"one": HIGH, "two": LOW, "three": LOW / 2}, name="many")
    compared_board(tmp_path, {"one": HIGH, "two": LOW}, dataset="emoji")
    (group,) = groups_of(tmp_path)
    assert sorted(board.files.name for board in group.boards)[1] == "many"


def test_queries_without_relevant_items_do_not_count(tmp_path: Path) -> None:
    holes = np.where(np.arange(QUERIES) == 3, np.nan, HIGH)
    for dataset in ("digits", "emoji"):
        compared_board(tmp_path, {"one": holes, "two": np.where(np.isnan(holes), np.nan, LOW)}, dataset=dataset)
    (group,) = groups_of(tmp_path)
    assert group.boards[0].worst["one"].shape == (1, QUERIES - 1)


def test_a_table_that_its_files_do_not_give_is_refused(tmp_path: Path) -> None:
    folder = compared_board(tmp_path, {"one": HIGH, "two": LOW})
    ranking = folder / "ranking.csv"
    ranking.write_text(ranking.read_text().replace("0.4,", "0.41,"))
    with pytest.raises(BadInput, match="the worst case of two does not follow from its per-query files"):
        groups_of(tmp_path)
    ranking.write_text(ranking.read_text().replace("0.41,", "0.4,"))
    np.savez(folder / "queries" / f"{'0003'.ljust(16, 'f')}.npz", average_precision=LOW[:5])
    with pytest.raises(BadInput, match="does not follow from its per-query files; see 'hashbench verify"):
        groups_of(tmp_path)
    (folder / "queries" / f"{'0003'.ljust(16, 'f')}.npz").unlink()
    with pytest.raises(BadInput, match="0003ffffffffffff"):
        groups_of(tmp_path)
