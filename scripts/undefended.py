"""What the measuring scripts share: undefended models, attacked on test or validation queries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hashbench.models.data import ImageSet, RetrievalSplit
from hashbench.registry.entries import Choice
from hashbench.registry.protocols import Dataset
from hashbench.running.request import Request
from hashbench.running.runner import run
from hashbench.running.store import ARRAYS, Result, Store

RESAMPLES = 10_000


def measure(dataset: str, attacks: Sequence[str], store: Store, *, seed: int, validation: int = 0) -> dict[str, Result]:
    """The results of attacks on the undefended model of a data set, by label.

    Args:
        dataset: a registered data set, with parameters as on the command line.
        attacks: registered attacks, likewise.
        validation: attack so many validation queries instead of the test queries.
    """

    def load(data: Choice[Dataset]) -> RetrievalSplit:
        split = data.call()
        return validating(split, validation) if validation else split

    cells = Request(dataset=dataset, attacks=tuple(attacks), seeds=(seed,)).resolve().cells(load)
    return {result.identity["attack"]: result for result in run(cells, store, torch.device("cpu"))}


def validating(split: RetrievalSplit, number: int) -> RetrievalSplit:
    """The split with its first validation queries in the place of the test queries."""
    first = torch.arange(min(number, len(split.validation)))
    queries = ImageSet(split.validation.images[first], split.validation.labels[first])
    return replace(split, queries=queries, digest=f"{split.digest}-validation-{len(first)}")


def gain(result: Result, store: Store) -> dict[str, float]:
    """How much target AP a targeted attack gains over the clean queries: the mean and its 95 % interval.

    The interval is that of a paired bootstrap over the queries, percentiles of 10,000 resamples.
    """
    with np.load(store.root / "cells" / result.key / ARRAYS, allow_pickle=False) as arrays:
        gains: NDArray[Any] = arrays["target_average_precision"] - arrays["target_average_precision_clean"]
    draws = np.random.default_rng(0).integers(len(gains), size=(RESAMPLES, len(gains)))
    low, high = np.percentile(gains[draws].mean(1), [2.5, 97.5])
    return {"t_gain": float(gains.mean()), "t_gain_low": float(low), "t_gain_high": float(high)}
