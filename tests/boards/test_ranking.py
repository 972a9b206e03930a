from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toys import linear_model, make_toy, pixels, random_images

from hashbench.boards.certificates import lower_bounds
from hashbench.boards.evidence_files import Evidence
from hashbench.boards.files import read_table
from hashbench.boards.leaderboard import Leaderboard, leaderboards
from hashbench.boards.ranking import RankingRow, rank, table
from hashbench.boards.tables import write_table
from hashbench.boards.terminal import print_matrix
from hashbench.boards.write import with_worst
from hashbench.evaluation.judge import Arrays, judge
from hashbench.models.data import Queries, Victim
from hashbench.models.model import HashModel
from hashbench.readers.board_columns import declared
from hashbench.readers.csv_tables import wrong_values
from hashbench.registry.entries import Choice
from hashbench.registry.entry import Entry
from hashbench.running.store import Result
from hashbench.threat import Threat
from hashbench.types import Images

Values = dict[tuple[str, str, int], np.ndarray]


def ranked(values: Values, **flags: list[str]) -> tuple[Leaderboard, tuple[RankingRow, ...]]:
    """A board with APs [queries] for each defense, attack and seed, and its ranking."""
    results, held = [], {}
    for (defense, attack, seed), ap in values.items():
        identity = {
            "dataset": "digits", "split_digest": "d" * 16, "backbone": "cnn", "method": "csq", "training": "clean",
            "bits": 32, "norm": "linf", "eps": 8 / 255, "seed": seed, "defense": defense, "attack": attack,
            "attack_params": {}, "goal": "untargeted", "access": "white", "attacker": "adaptive",
            "tuned": "some" if ":" in defense else "",
        }  # fmt: skip
        numbers = {"map": float(ap.mean()), "map_low": 0.1, "map_high": 0.9, "chance_map": 0.2, "n_queries": len(ap)}
        cost = {"n_database": 9, "train_forwards": 10 if defense == "none" else 60, "train_backwards": 10}
        key = f"{defense}/{attack}/{seed}"
        results.append(Result(key, identity, {**numbers, **cost}, {"created_utc": ""}))
        held[key] = ap
    (board,) = leaderboards(results)
    return board, rank(board, lambda result: {"average_precision": held[result.key]}, flags)


def spread(mean: float, stream: int = 0, queries: int = 60) -> np.ndarray:
    """APs around a mean."""
    return np.clip(mean + 0.05 * np.random.default_rng(stream).standard_normal(queries), 0, 1)


def of(
    values: dict[str, float], attacks: tuple[str, ...] = ("none", "standard"), seeds: tuple[int, ...] = (0,)
) -> Values:
    return {(d, a, s): spread(m, 10 * s + i) for d, m in values.items() for i, a in enumerate(attacks) for s in seeds}


@given(st.lists(st.lists(st.floats(0, 1), min_size=4, max_size=4), min_size=2, max_size=5))
@settings(max_examples=15, deadline=None)
def test_the_worst_case_is_below_each_member_and_falls_with_each_attack(values: list[list[float]]) -> None:
    aps = [np.array(row) for row in values]
    found = []
    for number in range(1, len(aps) + 1):
        cells = {("none", f"a{i}", 0): ap for i, ap in enumerate(aps[:number])}
        (row,) = ranked(cells)[1]
        assert row.value is not None
        found.append(row.value)
        assert all(row.value <= ap.mean() + 1e-12 for ap in aps[:number])
    assert found == sorted(found, reverse=True)


def test_rows_are_ordered_compared_and_grouped() -> None:
    values = of({"none": 0.1, "cgat:weight=3": 0.6, "mine": 0.8, "twin": 0.8, "bad": 0.3}, seeds=(0, 1))
    values |= {("twin", "standard", s): values["mine", "standard", s] + 1e-4 * (-1) ** np.arange(60) for s in (0, 1)}
    board, ranking = ranked(values)
    rows = table(ranking).set_index("defense")
    assert rows.index.tolist()[2:] == ["cgat:weight=3", "bad", "none"]
    assert rows["rank"].tolist() == [1, 2, 3, 4, None]
    assert rows.rank_group.tolist() == [1, 1, 2, 3, None]
    assert rows.status["none"] == "below chance"
    assert rows.delta_vs_cgat["mine"] == pytest.approx(0.2, abs=0.03)
    assert rows.delta_vs_cgat["cgat:weight=3"] is None
    assert rows.p_holm["mine"] < 0.05
    assert (rows.ci_low < rows.map_worst).all()
    assert rows.train_cost["mine"] == 3.5
    assert rows.attack_set.tolist() == ["standard-1"] * 5
    assert rows.seeds.tolist() == ["0 1"] * 5
    matrix = with_worst(board.matrix(), ranking, board.chance).set_index("defense")
    assert matrix.worst["mine"] == rows.map_worst["mine"]
    assert matrix.worst["chance"] == 0.2


def test_what_is_doubtful_or_not_whole_is_not_ranked(capsys: pytest.CaptureFixture[str]) -> None:
    values = of({"none": 0.5, "masked": 0.9, "noisy": 0.8, "lacking": 0.95}, ("none", "pgd", "standard"))
    del values["lacking", "standard", 0]
    board, ranking = ranked(values, masked=["zero_gradient"], noisy=["saturated", "stochastic"])
    rows = {s.defense: s for s in ranking}
    assert {name: s.status for name, s in rows.items()} == {
        "lacking": "incomplete", "masked": "flagged", "noisy": "flagged", "none": "ranked",
    }  # fmt: skip
    assert [rows[name].rank for name in ("noisy", "none")] == [None, 1]
    assert rows["noisy"].attack_set[0] == "standard-1"
    print_matrix(board, ranking)
    shown = capsys.readouterr().out
    noisy, interval = rows["noisy"], rows["noisy"].interval
    assert noisy.value
    assert interval
    worst = f"{100 * noisy.value:.1f} [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"
    assert worst in next(line for line in shown.splitlines() if "noisy" in line)
    assert "not ranked: masked: flagged; zero_gradient: the true worst case may be lower" in shown
    both = "saturated: the true worst case may be lower; stochastic: its codes differ from pass to pass"
    assert f"not ranked: noisy: flagged; {both}" in shown
    assert "not ranked: lacking: incomplete; has no per-query values under standard" in shown


def test_without_the_versioned_attack_set_there_is_no_rank() -> None:
    (row, other) = ranked(of({"none": 0.5, "mine": 0.7}, ("none", "pgd")))[1]
    assert (row.status, row.rank, row.note) == ("unranked", None, "run it with --attack standard")
    assert (other.status, other.rank, other.group) == ("unranked", None, None)


def test_an_invalid_cell_and_oblivious_or_targeted_attacks_do_not_rank() -> None:
    values = of({"none": 0.5, "mine": 0.7}, ("none", "pgd", "aimed"))
    board, _ = ranked(values)
    changed = [
        replace(r, identity=r.identity | {"goal": "targeted"}) if r.identity["attack"] == "aimed" else r
        for r in board.results
    ]
    held = {r.key: {"average_precision": values[r.identity["defense"], r.identity["attack"], 0]} for r in changed}
    broken = Result("broken", changed[0].identity | {"defense": "mine", "attack": "new"}, {}, {}, "invalid", "it broke")
    blind = replace(changed[-1], key="blind", identity=changed[-1].identity | {"attacker": "oblivious"})
    held["blind"] = {"average_precision": np.zeros(60)}
    made = Leaderboard("board", (*changed, broken, blind))
    ranking = {s.defense: s for s in rank(made, lambda r: held.get(r.key, {}))}
    assert ranking["mine"].status == "invalid"
    assert ranking["mine"].note == "invalid under new, seed 0: it broke"
    assert ranking["mine"].attacks == ("pgd",)
    lowest = np.minimum(values["mine", "pgd", 0], values["mine", "none", 0])
    assert ranking["mine"].value == pytest.approx(lowest.mean())


def test_an_attack_that_raises_an_ap_leaves_the_clean_query_as_the_worst_case() -> None:
    values = {("none", "none", 0): np.array([0.5, 0.6]), ("none", "standard", 0): np.array([0.9, 0.4])}
    board, (row,) = ranked(values)
    assert row.worst.tolist() == [[0.5, 0.4]]
    assert row.worst_attack == "standard"
    held = {r.key: {"average_precision": values["none", r.identity["attack"], 0]} for r in board.results}
    (before,) = rank(board, lambda r: held[r.key], clean_counts=False)
    assert before.worst.tolist() == [[0.9, 0.4]]


def test_a_row_whose_clean_queries_are_missing_is_not_ranked() -> None:
    values = of({"none": 0.5, "mine": 0.7}, seeds=(0, 1))
    del values["mine", "none", 1]
    rows = {row.defense: row for row in ranked(values)[1]}
    assert (rows["mine"].status, rows["mine"].rank, rows["none"].rank) == ("incomplete", None, 1)
    assert rows["mine"].note == "has no per-query values of its clean queries; run it again"


def test_two_trainings_that_come_out_unlike_have_an_interval_of_all_that_an_map_can_be(tmp_path: Path) -> None:
    values = of({"none": 0.5, "cgat": 0.9}, seeds=(0, 1)) | {("cgat", "standard", 1): spread(0.3)}
    write_table(tmp_path / "ranking.csv", table(ranked(values)[1]))
    content = read_table(tmp_path / "ranking.csv")
    (mine,) = (row for row in content.rows if row["defense"] == "cgat")
    assert (float(mine["ci_low"]), float(mine["ci_high"])) == (0, 1)
    assert wrong_values(content, declared("ranking", content.header)) == []


def certified(defense: str, seed: int, bounds: list[float], free: list[int], reason: str = "") -> Evidence:
    """A certificate as a leaderboard has it, or why there is none."""
    identity = {"defense": defense, "seed": seed, "goal": "untargeted"}
    arrays = {"certified": np.array(bounds), "free_bits": np.array(free)}
    return Result("k", identity, {}, {}, "invalid" if reason else "valid", reason), {} if reason else arrays


def test_what_is_certified_stands_beside_the_worst_case(capsys: pytest.CaptureFixture[str]) -> None:
    cells = of({"none": 0.5, "mine": 0.8, "odd": 0.7, "half": 0.6}, ("none", "standard"), (0, 1))
    board, _ = ranked(cells)
    held = {r.key: {"average_precision": cells[r.identity["defense"], r.identity["attack"], r.identity["seed"]]}
            for r in board.results}  # fmt: skip
    evidence = [
        *(certified("mine", seed, [0.2, 0.4, np.nan, 0.6], [0, 8, 3, seed]) for seed in (0, 1)),
        certified("odd", 0, [], [], "no bounds are known for Odd"), certified("odd", 1, [], [], "another"),
        certified("half", 0, [0.5, 0.5], [1, 1]),
    ]  # fmt: skip
    ranking = rank(board, lambda r: held[r.key], certificates=lower_bounds(evidence))
    rows = table(ranking).set_index("defense")
    assert rows.certified["mine"] == pytest.approx(0.4)
    assert rows.certified_ci_low["mine"] < 0.4 < rows.certified_ci_high["mine"]
    assert (rows.free_bits["mine"], rows.untouched_share["mine"]) == (2.875, 0.375)
    assert rows.certified[["none", "odd", "half"]].tolist() == [None] * 3
    assert rows.note["none"] == ""
    assert rows.note["odd"] == "no certificate: no bounds are known for Odd"
    assert rows.note["half"] == "no certificate: seed 1 has none; run it again without --certify no"
    assert (rows.map_worst == table(rank(board, lambda r: held[r.key])).set_index("defense").map_worst).all()
    print_matrix(board, ranking)
    shown = capsys.readouterr().out
    assert "certified" in shown
    assert "40.0 [" in shown
    assert "no certificate: odd: no bounds are known for Odd" in shown


def against(direction: float) -> Callable[[Victim, Threat], Callable[[Queries], Images]]:
    """The strongest attack on a linear model, whose first pixel gives away which of two it is."""

    def prepare(victim: Victim, threat: Threat) -> Callable[[Queries], Images]:
        def craft(queries: Queries) -> Images:
            images = queries.images.clone().requires_grad_()
            signs = torch.sign(victim.model.logits(queries.images)).detach()
            (gradient,) = torch.autograd.grad((victim.model.logits(images) * signs).sum(), images)
            moved = -threat.eps * gradient.sign()
            moved[:, 0, 0, 0] = direction * threat.eps
            return threat.project(queries.images + moved, queries.images)

        return craft

    return prepare


class Half(torch.nn.Module):
    """A network that undoes perturbations of known queries whose first pixel moved one way, and no others."""

    def __init__(self, network: torch.nn.Module, known: Images, direction: float) -> None:
        super().__init__()
        self.network, self.known, self.direction = network, known, direction

    def forward(self, images: Images) -> Images:
        nearest = self.known[torch.cdist(images.flatten(1), self.known.flatten(1)).argmin(1)]
        stopped = self.direction * (images - nearest)[:, 0, 0, 0] > 1e-3
        close = (images - nearest).abs().flatten(1).amax(1) < 0.3
        found: Images = self.network(torch.where((stopped & close)[:, None, None, None], nearest, images))
        return found


def test_half_defenses_that_each_stop_one_attack_end_at_the_undefended_level() -> None:
    undefended = linear_model(12, 1, 8)
    queries = random_images(30, seed=2)
    known = pixels(queries).clamp(0.3, 0.7)  # so that no first pixel stays where it is
    queries = replace(queries, images=known)
    values: Values = {}
    networks = {
        "none": undefended.network,
        "up": Half(undefended.network, known, 1),
        "down": Half(undefended.network, known, -1),
    }
    for defense, network in networks.items():
        victim, _ = make_toy(HashModel(network, 12))
        for name, direction in (("attack-up", 1.0), ("attack-down", -1.0)):
            entry = Entry(name, against(direction))
            arrays: Arrays = judge(Choice(entry, {}), victim, queries, Threat(0.2), 0).arrays
            values[defense, name, 0] = arrays["average_precision"]
    worst = {s.defense: s.value for s in ranked(values)[1]}
    for defense, stopped in (("up", "attack-up"), ("down", "attack-down")):
        assert values[defense, stopped, 0].mean() > worst["none"] + 0.05  # type: ignore[operator]
        assert worst[defense] == pytest.approx(worst["none"], abs=0.02)
