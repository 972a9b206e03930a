"""Each flag is raised just above its threshold, and not at it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hashbench.evaluation.flags import FLAGS, curve, is_above, meanings, raised, white_box

QUERIES = 4
BITS = 32


def ap(*levels: float) -> np.ndarray:
    """The same AP for every query, [levels, queries]: intervals of such means have no width."""
    return np.repeat(np.array(levels)[:, None], QUERIES, axis=1)


def sound() -> tuple[dict[str, Any], dict[str, Any]]:
    """The numbers and arrays of a probe that raises no flag."""
    numbers = {
        "unstable_share": 0.0, "train_mode_left": 0, "batch_change": 1e-3, "distinct_codes": 5, "classes": 10,
        "saturated_share": 0.95,
    }  # fmt: skip
    arrays = {
        "clean": ap(0.9)[0], "chance": ap(0.1)[0], "high": ap(0.95)[0], "low": ap(0.85)[0],
        "zero_gradient": ap(0.0)[0], "plain": ap(0.7, 0.5), "gentle": ap(0.5, 0.3, 0.1), "one_step": ap(0.6)[0],
        "noise": ap(0.88)[0], "black_box": ap(0.7)[0], "transfer": ap(0.8)[0], "still": ap(0.0)[0],
        "wrong_gradient": ap(0.0)[0], "new": ap(0.88)[0], "new_attacked": ap(0.5)[0],
        "budgets": np.array([0.05, 0.1, 0.2, 1.0]),
    }  # fmt: skip
    return numbers, arrays


def found(**changes: Any) -> list[str]:
    numbers, arrays = sound()
    numbers |= {name: value for name, value in changes.items() if name in numbers}
    arrays |= {name: value for name, value in changes.items() if name in arrays}
    assert changes.keys() <= numbers.keys() | arrays.keys()
    return raised(numbers, arrays, BITS)


def test_a_sound_model_raises_none() -> None:
    assert found() == []


@pytest.mark.parametrize(
    ("flag", "at", "above"),
    [
        ("train_mode", {"batch_change": 1e-3}, {"batch_change": 1.01e-3}),
        ("train_mode", {"train_mode_left": 0}, {"train_mode_left": 1}),
        ("stochastic", {"unstable_share": 0.0}, {"unstable_share": 0.01, "batch_change": 1.0}),
        ("collapsed_codes", {"distinct_codes": 5}, {"distinct_codes": 4}),
        ("collapsed_codes", {"clean": ap(0.21)[0]}, {"clean": ap(0.19)[0]}),
        ("high_tie_mass", {"low": ap(0.76)[0]}, {"low": ap(0.74)[0]}),
        ("zero_gradient", {"zero_gradient": ap(0.049)[0]}, {"zero_gradient": ap(0.051)[0]}),
        ("saturated", {"plain": ap(0.7, 0.59)}, {"plain": ap(0.7, 0.61)}),
        ("outputs_do_not_move", {"still": ap(0.049)[0]}, {"still": ap(0.051)[0]}),
        ("more_steps_do_worse", {"one_step": ap(0.491)[0]}, {"one_step": ap(0.489)[0]}),
        ("more_budget_does_worse", {"plain": ap(0.5, 0.509)}, {"plain": ap(0.5, 0.511)}),
        ("more_budget_does_worse", {"gentle": ap(0.5, 0.509, 0.1)}, {"gentle": ap(0.5, 0.511, 0.1)}),
        ("black_box_beats_white_box", {"black_box": ap(0.491)[0]}, {"black_box": ap(0.489)[0]}),
        ("black_box_beats_white_box", {"transfer": ap(0.491)[0]}, {"transfer": ap(0.489)[0]}),
        ("unbounded_not_broken", {"gentle": ap(0.5, 0.3, 0.109)}, {"gentle": ap(0.5, 0.3, 0.111)}),
        ("only_known_images", {"new": ap(0.681)[0]}, {"new": ap(0.679)[0]}),
        ("only_known_images", {"new_attacked": ap(0.101)[0]}, {"new_attacked": ap(0.099)[0]}),
        ("gradient_disagrees", {"wrong_gradient": ap(0.099)[0]}, {"wrong_gradient": ap(0.101)[0]}),
        ("noise_as_strong", {"noise": ap(0.541)[0]}, {"noise": ap(0.539)[0], "new": ap(0.539)[0]}),
    ],
)  # fmt: skip
def test_a_flag_is_raised_above_its_threshold_only(flag: str, at: dict[str, Any], above: dict[str, Any]) -> None:
    assert found(**at) == []
    assert found(**above) == [flag]


def test_one_finding_replaces_those_that_it_explains() -> None:
    assert found(saturated_share=0.9, plain=ap(0.7, 0.61)) == [], "steep, but not saturated"
    masked = {"zero_gradient": ap(1.0)[0], "one_step": ap(0.1)[0], "still": ap(1.0)[0]}
    assert found(**masked) == ["zero_gradient"]
    assert found(**masked, low=ap(0.5)[0]) == ["high_tie_mass", "zero_gradient"]
    assert found(**masked, distinct_codes=1, unstable_share=1.0) == ["stochastic", "collapsed_codes"]
    assert found(train_mode_left=1, unstable_share=1.0) == ["train_mode"]
    # Noise harms no more than it does where the attack does no harm either.
    nothing = ap(0.895)[0]
    assert found(noise=nothing, plain=ap(0.9, 0.9), gentle=ap(0.9, 0.9, 0.1), one_step=ap(0.9)[0],
                 black_box=ap(0.9)[0], transfer=ap(0.9)[0], new_attacked=ap(0.9)[0]) == []  # fmt: skip


def test_the_gentle_walk_within_bounds_counts_where_no_budget_is_all() -> None:
    numbers, arrays = sound()
    more = {**arrays, "budgets": np.array([0.05, 0.1, 0.2, 0.9]), "gentle": ap(0.5, 0.06, 0.09)}
    assert raised(numbers, more, BITS) == ["more_budget_does_worse"]
    assert raised(numbers, {**more, "budgets": arrays["budgets"]}, BITS) == [], "at eps = 1 nothing is bounded"


@pytest.mark.parametrize(("bits", "codes", "collapsed"), [(2, 4, False), (2, 2, False), (2, 1, True), (3, 3, True)])
def test_few_bits_are_no_collapse(bits: int, codes: int, collapsed: bool) -> None:
    numbers, arrays = sound()
    assert (raised({**numbers, "distinct_codes": codes}, arrays, bits) == ["collapsed_codes"]) == collapsed


def test_a_probe_of_one_query_or_of_an_older_version_raises_nothing() -> None:
    numbers, arrays = sound()
    one = {name: value if name == "budgets" else value[..., :1] for name, value in arrays.items()}
    assert raised(numbers, {**one, "zero_gradient": np.ones(1)}, BITS) == []
    old = {
        name: arrays[name]
        for name in arrays
        if name not in ("still", "wrong_gradient", "new", "new_attacked", "transfer")
    }
    assert raised(numbers, old, BITS) == []
    assert raised(numbers, {**old, "black_box": ap(0.3)[0]}, BITS) == ["black_box_beats_white_box"]


def test_the_curve_starts_clean_never_rises_and_ends_where_all_is_allowed() -> None:
    _, arrays = sound()
    budgets, levels = curve({**arrays, "gentle": ap(0.45, 0.6, 0.1)})
    assert budgets == [0.0, 0.05, 0.1, 0.2, 1.0]
    assert levels == pytest.approx(ap(0.9, 0.7, 0.45, 0.45, 0.1))


def test_the_strongest_white_box_attack_is_the_lowest_of_three() -> None:
    _, arrays = sound()
    for name, value in (("plain", ap(0.7, 0.2)), ("gentle", ap(0.2, 0.3, 0.1)), ("one_step", ap(0.2)[0])):
        assert white_box({**arrays, name: value}) == pytest.approx(ap(0.2)[0])


def test_a_table_is_above_its_probe_by_more_than_a_point() -> None:
    _, arrays = sound()
    table = np.array([np.nan, 0.0, 0.512, 0.512, 0.512])
    looked = {**arrays, "rows": np.array([2, 3, 4, 0])}
    assert is_above(table, looked)
    assert not is_above(np.where(table > 0.5, 0.509, table), looked)
    assert is_above(table - 0.1, {**looked, "transfer": ap(0.4)[0]})
    assert not is_above(table, arrays), "an old probe does not say which queries it looked at"


def test_every_flag_has_a_meaning_and_an_advice() -> None:
    said = meanings()
    assert said.keys() == FLAGS.keys()
    assert said["high_tie_mass"].endswith("depends on the order of ties; use more bits or look for constant ones; "
                                          "read the bounds beside each mAP")  # fmt: skip
    unmasked = {"train_mode", "stochastic", "collapsed_codes", "high_tie_mass", "noise_as_strong"}
    assert {name for name, flag in FLAGS.items() if not flag.masking} == unmasked
