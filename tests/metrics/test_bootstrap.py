"""False positives and power over simulated pairs of defenses."""

from __future__ import annotations

import numpy as np
import pytest

from hashbench.boards.intervals import level_intervals
from hashbench.metrics.bootstrap import Floats, estimate, holm


def simulate(pairs: int, seeds: int, difference: float = 0, training: float = 0, stream: int = 1) -> Floats:
    """Differences [pairs, seeds, 300 queries] of APs with a spread as on attacked digits, about 0.3 a query."""
    random = np.random.default_rng(stream)
    hard = random.normal(0, 2.5, (pairs, 1, 300))
    own = random.normal(0, 0.7, (2, pairs, 1, 300)) + random.normal(0, 1.3, (2, pairs, seeds, 300))
    runs = training * random.normal(0, 1, (2, pairs, seeds, 1))
    first, second = 1 / (1 + np.exp(-(hard + own + runs)))
    return np.asarray(first + 2 * difference * (1 - first) - second)  # 1 - first is 0.5 on average


def test_equal_defenses_are_told_apart_in_five_percent() -> None:
    found = estimate(simulate(8000, 1), draws=2000)
    assert (found.p < 0.05).mean() == pytest.approx(0.05, abs=0.015)
    outside = (found.low > 0) | (found.high < 0)
    assert (outside == (found.p < 0.05)).mean() > 0.99


def test_with_three_seeds_and_no_effect_of_training_it_errs_on_the_safe_side() -> None:
    """About 3.4 %: an effect of training is looked for that is not there."""
    found = estimate(simulate(4000, 3), draws=2000)
    assert 0.02 < (found.p < 0.05).mean() < 0.05


@pytest.mark.parametrize("training", [0.05, 0.1])
def test_an_effect_of_training_is_no_difference_of_methods(training: float) -> None:
    found = estimate(simulate(2000, 3, training=training), draws=2000)
    assert (found.p < 0.05).mean() == pytest.approx(0.05, abs=0.015)


@pytest.mark.parametrize("seeds", [1, 3])
def test_a_difference_of_five_points_is_nearly_certain_to_be_found(seeds: int) -> None:
    found = estimate(simulate(300, seeds, difference=0.05), draws=2000)
    assert (found.p < 0.05).mean() > 0.7
    assert found.difference.mean() == pytest.approx(0.05, abs=0.005)


def test_nothing_differs_from_itself() -> None:
    found = estimate(np.zeros((1, 3, 10)))
    assert (found.low[0], found.high[0], found.p[0]) == (0, 0, 1)


def test_intervals_end_where_means_do() -> None:
    """Two trainings that differ much: Student's t with one degree of freedom has draws of any size."""
    values = np.repeat([[0.2], [0.9]], 10, axis=1) + np.linspace(0, 0.05, 10)
    level, difference = estimate(values[None], least=0.0), estimate(values[None])
    assert (level.low[0], level.high[0]) == (0, 1)
    assert (difference.low[0], difference.high[0]) == (-1, 1)
    assert level.p == difference.p
    (interval,) = level_intervals([values])
    assert interval
    assert (interval.low, interval.high) == (0, 1)


def test_holm_of_a_worked_example() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
