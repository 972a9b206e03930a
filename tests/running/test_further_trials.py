"""Trials beyond a grid's end, where the best one stands there."""

from __future__ import annotations

from collections.abc import Callable

from hashbench.registry.spec import Spec
from hashbench.running.tuning import next_trial, trials


def judged(scores: dict[str, float]) -> list[dict[str, str]]:
    """Rows of trials, of which the one with the highest score is chosen."""
    best = max(scores, key=scores.__getitem__)
    return [{"trial": trial, "chosen": "yes" if trial == best else "no"} for trial in scores]


def walk(text: str, grid: dict[str, list[str]], score: Callable[..., float]) -> list[str]:
    """The trials that follow a grid, where a trial scores what `score` says of its numbers."""

    def scored(trial: str) -> float:
        return score(**{name: float(value) for name, value in Spec.parse(trial).params.items()})

    scores = {trial: scored(trial) for trial in trials(text, grid)}
    followed: list[str] = []
    while (trial := next_trial(text, judged(scores), grid)) is not None:
        assert trial not in scores
        scores[trial] = scored(trial)
        followed.append(trial)
        assert len(followed) < 50
    return followed


def test_a_winner_at_the_end_of_its_grid_is_followed_until_it_stands_inside() -> None:
    grid = {"learning_rate": ["0.01", "0.02"], "weight": ["1", "3"]}
    up = walk("cgat", grid, lambda learning_rate, weight: -abs(learning_rate - 0.08) - abs(weight - 3))
    assert up == [
        "cgat:learning_rate=0.04,weight=3", "cgat:learning_rate=0.08,weight=3", "cgat:learning_rate=0.16,weight=3",
        "cgat:learning_rate=0.08,weight=9", "cgat:learning_rate=0.08,weight=1",
    ]  # fmt: skip
    both = walk("cgat", grid, lambda learning_rate, weight: -abs(learning_rate - 0.005) - abs(weight - 9))
    assert both[-1] == "cgat:learning_rate=0.005,weight=27"
    assert "cgat:learning_rate=0.0025,weight=3" in both


def test_a_winner_that_stands_inside_is_not_followed() -> None:
    grid = {"weight": ["1", "2", "4", "8"]}
    assert walk("cgat", grid, lambda weight: -abs(weight - 2)) == []
    assert walk("cgat", grid, lambda weight: -abs(weight - 7)) == ["cgat:weight=16"]


def test_a_value_that_was_tried_is_not_tried_again_in_other_digits() -> None:
    rows = judged({"lap:weight=1": 0.5, "lap:weight=3": 0.4, "lap:weight=0.333333": 0.6})
    assert next_trial("lap", rows, {"weight": ["1", "3"]}) == "lap:weight=0.111111"


def test_a_winner_inside_an_uneven_grid_is_not_followed() -> None:
    assert walk("lap", {"weight": ["1", "3", "10"]}, lambda weight: -abs(weight - 3)) == []
    assert walk("lap", {"weight": ["1", "3", "10"]}, lambda weight: -abs(weight - 10)) == ["lap:weight=30"]


def test_values_that_a_parameter_does_not_allow_are_not_tried() -> None:
    assert walk("pgd-training", {"adversarial": ["0.5", "1"]}, lambda adversarial: adversarial) == []
    assert walk("lap-2", {"ranking": ["0", "2"]}, lambda ranking: -ranking) == []
    assert walk("lap-2", {"ranking": ["0", "2"]}, lambda ranking: -abs(ranking - 4)) == [
        "lap-2:ranking=4", "lap-2:ranking=6",
    ]  # fmt: skip


def test_names_are_not_followed() -> None:
    rows = judged({"cgat:preset=regularised": 1.0, "cgat:preset=default": 0.0})
    assert next_trial("cgat", rows, {"preset": ["default", "regularised"]}) is None
