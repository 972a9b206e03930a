"""The table below the benchmarks."""

from __future__ import annotations

from bench_table import table


def test_ratios_stand_beside_their_goals_and_what_is_missed_says_why() -> None:
    lines = list(
        table(
            [
                ("quick", 0.5, {"ratio": 0.00812, "goal": 0.01, "limit": "1/40", "plain": "a sort"}),
                (
                    "slow",
                    7.0,
                    {"ratio": 0.583, "goal": 0.5, "plain": "two passes", "why": "convolutions", "more": [1, 2.5]},
                ),
                ("told", 1.0, {"limit": "20 s", "peak MB": 189.4}),
                ("silent", 1.0, {"ratio": 2, "goal": 1}),
            ]
        )
    )
    assert lines[2:] == [
        "| quick | 0.5 | 0.00812 | met: 0.01 | 1/40 |  | a sort |",
        "| slow | 7 | 0.583 | missed: 0.5 |  | more 1 2.5 | two passes |",
        "| told | 1 |  |  | 20 s | peak MB 189 |  |",
        "| silent | 1 | 2 | missed: 1 |  |  |  |",
        "",
        "slow misses its goal: convolutions",
        "silent misses its goal: nobody has looked why",
    ]
    assert all(line.count("|") == 8 for line in lines[:6])


def test_without_a_goal_nothing_is_missed() -> None:
    assert len(list(table([("a", 1.0, {})]))) == 3
