"""Means over corruptions, strengths and seeds against means by hand; and what names leaks."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from hashbench.api.corruptions import CorruptedModel, _table, corruption_means
from hashbench.evaluation.corruption_levels import LEVELS
from hashbench.evaluation.leaks import Leak
from hashbench.evaluation.new_images import _moved, _partners

NAN = float("nan")


def model(defense: str, seed: int, clean: float, found: dict[str, float]) -> CorruptedModel:
    """Three queries, one of them without an AP; at strength s each has (6 - s) / 5 of a level."""
    cell: Any = SimpleNamespace(
        defense=SimpleNamespace(label=defense), seed=seed,
        identity={"dataset": "digits", "defense": defense, "seed": seed, "bits": 16},
    )  # fmt: skip
    shares = np.arange(5, 0, -1)[:, None] / 5
    rows = {name: shares * np.array([[level, NAN, level]]) for name, level in found.items()}
    values = np.array([clean, NAN, clean])
    return CorruptedModel(cell, {"model_digest": "m"}, values, np.array([0.1, NAN, 0.1]), rows, 50)


def test_means_are_over_strengths_corruptions_and_seeds() -> None:
    made = [
        model(defense, seed, clean, {"gaussian-noise": one, "fog": two})
        for defense, seed, clean, one, two in (
            ("low", 0, 0.9, 0.5, 0.3), ("high", 0, 0.8, 0.7, 0.5), ("high", 1, 0.6, 0.5, 0.3),
            ("chance", 0, 0.1, 0.1, 0.1),
        )
    ]  # fmt: skip
    high, low, bad = corruption_means(made).to_dict("records")
    assert [row["defense"] for row in (high, low, bad)] == ["high", "low", "chance"]
    assert high["seeds"] == "0 1"
    assert high["map_clean"] == pytest.approx(0.7)
    assert high["gaussian-noise"] == pytest.approx(0.6 * 0.6)
    assert high["fog"] == pytest.approx(0.4 * 0.6)
    assert high["map_corrupted"] == pytest.approx(0.5 * 0.6)
    assert high["kept"] == pytest.approx((0.3 - 0.1) / (0.7 - 0.1), abs=1e-6)
    assert high["ci_low"] <= high["map_corrupted"] <= high["ci_high"]
    assert low["map_corrupted"] == pytest.approx(0.4 * 0.6)
    assert bad["kept"] is None, "a model at chance has nothing to keep"
    assert bad["chance_map"] == pytest.approx(0.1)


def test_the_table_has_a_row_for_each_corruption_and_strength() -> None:
    name = next(iter(LEVELS))
    rows = _table([model("mine", 3, 0.9, {name: 0.5})]).to_dict("records")
    assert [row["strength"] for row in rows] == [1, 2, 3, 4, 5]
    assert [row["level"] for row in rows] == list(LEVELS[name].levels)
    assert [row["map"] for row in rows] == pytest.approx([0.5, 0.4, 0.3, 0.2, 0.1])
    first = rows[0]
    assert {key: first[key] for key in ("defense", "seed", "corruption", "map_clean", "chance_map", "n_queries")} == {
        "defense": "mine", "seed": 3, "corruption": name, "map_clean": 0.9, "chance_map": 0.1, "n_queries": 3,
    }  # fmt: skip
    assert (first["n_database"], first["model_digest"]) == (50, "m")


@pytest.mark.parametrize(("pairs", "more"), [(3, ""), (4, " and 1 more"), (9, " and 6 more")])
def test_a_leak_names_three_pairs_and_counts_the_others(pairs: int, more: str) -> None:
    found = Leak("queries", "train", tuple((place, place + 1) for place in range(pairs)), 20, {"train": ("a",) * 20})
    named = "queries[0] is train[1] (a), queries[1] is train[2] (a), queries[2] is train[3] (a)"
    assert str(found) == (
        f"leak: {pairs} of 20 images of queries are in train too: {named}{more}; take them out of one of the two"
    )


def test_partners_are_others_with_the_same_labels() -> None:
    labels = torch.tensor([[1, 0], [0, 1], [1, 0], [1, 1], [1, 0]])
    low, high = (_partners(labels, torch.full((5,), draw)).tolist() for draw in (0.0, 0.999))
    assert low == [2, 1, 0, 3, 0]
    assert high == [4, 1, 4, 3, 2]
    assert _partners(labels, torch.full((5,), 0.49)).tolist() == low


def test_images_are_moved_right_and_down_by_shares_of_their_half_width() -> None:
    ramp = torch.linspace(0, 1, 101).expand(1, 1, 101, 101)
    still = _moved(ramp, torch.zeros(1, 3))
    torch.testing.assert_close(still, ramp)
    right = _moved(ramp, torch.tensor([[0.0, 1.0, 0.0]]))
    inner = (right - ramp)[..., 5:-5]
    torch.testing.assert_close(inner, torch.full_like(inner, 0.015 / 2 * 101 / 100), atol=1e-4, rtol=0)
    down = _moved(ramp.transpose(2, 3), torch.tensor([[0.0, 0.0, -1.0]]))
    torch.testing.assert_close(
        (down - ramp.transpose(2, 3))[..., 5:-5, :], torch.full((1, 1, 91, 101), -0.015 / 2 * 1.01), atol=1e-4, rtol=0
    )
    turned = _moved(ramp, torch.tensor([[1.0, 0.0, 0.0]])) - ramp
    assert turned[0, 0, 5, 50] * turned[0, 0, 95, 50] < 0, "above and below the middle to different sides"
    expected = torch.sin(torch.deg2rad(torch.tensor(2.0))) * 0.45
    assert turned[0, 0, 95, 50].abs().item() == pytest.approx(float(expected), abs=2e-3)
