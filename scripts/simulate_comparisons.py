#!/usr/bin/env python
"""Simulate pairs of defenses and print how often they are told apart: the tables of docs/statistics.md.

APs are logistic functions of normal effects: of the query, of the query's meeting with a defense and with a training,
of the training itself, and of a class's meeting with a defense, which all trainings and all queries of the class share.
"""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd

from hashbench.metrics.bootstrap import Floats, estimate

# Standard deviations of the effects of: the query, the query with the defense, the query with the training.
SPREADS = {"as on attacked digits": (2.5, 0.7, 1.3), "wide": (2.5, 1.5, 1.0), "narrow": (1.0, 0.05, 0.2)}
TRAINING = (0.0, 0.05, 0.1, 0.2, 0.4)
SEEDS, DIFFERENCES = (1, 2, 3, 5), (0.01, 0.02, 0.03, 0.05)
PAIRS, QUERIES, DRAWS = 2000, 300, 2000
CLASSES, OF_CLASS = 10, (0.1, 0.2, 0.3, 0.5)


def simulate(
    spread: tuple[float, float, float], seeds: int, training: float, difference: float = 0.0, of_class: float = 0.0
) -> Floats:
    """Differences [pairs, seeds, queries] of the APs of two defenses, whose queries are spread evenly over classes."""
    random = np.random.default_rng(1)
    of_query, with_defense, with_training = spread
    hard = random.normal(0, of_query, (PAIRS, 1, QUERIES))
    own = random.normal(0, with_defense, (2, PAIRS, 1, QUERIES))
    own = own + random.normal(0, with_training, (2, PAIRS, seeds, QUERIES))
    runs = training * random.normal(0, 1, (2, PAIRS, seeds, 1))
    classes = of_class * np.repeat(random.normal(0, 1, (2, PAIRS, 1, CLASSES)), QUERIES // CLASSES, axis=3)
    first, second = 1 / (1 + np.exp(-(hard + own + runs + classes)))
    return np.asarray(first + 2 * difference * (1 - first) - second)  # 1 - first is 0.5 on average


def told_apart(*case: object) -> float:
    """The share of pairs with p < 0.05."""
    return float((estimate(simulate(*case), draws=DRAWS).p < 0.05).mean())  # type: ignore[arg-type]


def main() -> None:
    """Print the three tables."""
    false = [
        {"queries": name, "training": training, **{f"{n} seeds": told_apart(spread, n, training) for n in SEEDS}}
        for name, spread in SPREADS.items()
        for training in TRAINING
    ]
    spread = SPREADS["as on attacked digits"]
    power = [
        {"seeds": n, "training": t, **{f"{100 * d:g} points": told_apart(spread, n, t, d) for d in DIFFERENCES}}
        for n, t in ((1, 0.0), (3, 0.0), (3, 0.1))
    ]
    shared = [{"classes": c, **{f"{n} seeds": told_apart(spread, n, 0.0, 0.0, c) for n in (1, 3, 5)}} for c in OF_CLASS]
    for title, rows in (("False positives", false), ("Power", power), ("Effects of classes", shared)):
        sys.stdout.write(f"{title}\n{pd.DataFrame(rows).to_string(index=False, float_format='%.3f')}\n\n")


if __name__ == "__main__":
    main()
