"""Confidence intervals of mean APs: many at once, so that resamples are drawn only once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from hashbench.evaluation.judge import Arrays
from hashbench.metrics.bootstrap import Floats, estimate
from hashbench.running.store import Result

AT_ONCE = 64  # means whose resamples are held in memory together

Reader = Callable[[Result], Arrays]  # the per-query arrays of a cell; empty if it has none


@dataclass(frozen=True)
class ConfidenceInterval:
    """A mean with the bounds of its 95 % interval, and the two-sided p value of a mean of 0."""

    mean: float
    low: float
    high: float
    p: float


def intervals(values: Sequence[Floats], least: float = -1.0) -> list[ConfidenceInterval | None]:
    """The interval of each mean, in order; None if there are fewer than two queries.

    Args:
        values: paired differences of APs [seeds, queries]; shapes may differ.
        least: what no mean can be below, as of `estimate`.
    """
    found: list[ConfidenceInterval | None] = [None] * len(values)
    shapes: dict[tuple[int, ...], list[int]] = {}
    for place, array in enumerate(values):
        if array.size and array.shape[1] > 1:
            shapes.setdefault(array.shape, []).append(place)
    for places in shapes.values():
        for start in range(0, len(places), AT_ONCE):
            some = places[start : start + AT_ONCE]
            one = estimate(np.stack([values[place] for place in some]), least=least)
            for place, *numbers in zip(some, one.difference, one.low, one.high, one.p, strict=True):
                found[place] = ConfidenceInterval(*map(float, numbers))
    return found


def level_intervals(values: Sequence[Floats]) -> list[ConfidenceInterval | None]:
    """The same of APs [seeds, queries], whose mean is between 0 and 1."""
    return intervals(values, least=0.0)


def cell_intervals(results: Iterable[Result], arrays: Reader) -> dict[str, dict[str, float]]:
    """For each cell, by key, the bounds of its mAP's interval, as columns of results.csv.

    A targeted attack's cell also has those of its t-MAP.
    """
    names, values = [], []
    for result in results:
        held = arrays(result)
        for prefix, name in (("", "average_precision"), ("t_", "target_average_precision")):
            if name in held:
                names.append((result.key, prefix))
                values.append(scored(held[name][None]))
    bounds: dict[str, dict[str, float]] = {}
    for (key, prefix), found in zip(names, level_intervals(values), strict=True):
        if found:
            bounds.setdefault(key, {}).update({f"{prefix}ci_low": found.low, f"{prefix}ci_high": found.high})
    return bounds


def scored(values: Floats) -> Floats:
    """APs [seeds, queries] of only those queries that have one: with a relevant item in the database."""
    return values[:, ~np.isnan(values).any(axis=0)]
