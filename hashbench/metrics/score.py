"""Retrieval scores for people who only have codes and labels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashbench.errors import BadInput
from hashbench.metrics.average_precision import Values, average_precision, chance
from hashbench.metrics.distance_counts import count
from hashbench.metrics.packed_codes import Bits
from hashbench.readers.npz_files import read_arrays

LARGEST = 1 << 30  # bytes of the file, and of its arrays
ARRAYS = ("query_codes", "query_labels", "database_codes", "database_labels")


@dataclass(frozen=True)
class Retrieval:
    """How well codes retrieve.

    Per query, shape [queries]: `average_precision` (expected over the orders of tied items), and its
    worst and best order `low` and `high`; NaN where a query has no relevant item. Means over the
    queries that have one: `map`, `map_low`, `map_high`, and `chance_map`, the score of a ranking that
    knows nothing, which is also that of a constant code.
    """

    average_precision: Values
    low: Values
    high: Values
    map: float
    map_low: float
    map_high: float
    chance_map: float
    n_without_relevant: int


def retrieval(
    query_codes: Any, query_labels: Any, database_codes: Any, database_labels: Any, at: int | None = None
) -> Retrieval:
    """Score a ranking by Hamming distance.

    Args:
        query_codes: [queries, bits], an array or tensor; its signs are the code, 0 counts as +1;
            booleans are bits.
        query_labels: multi-hot [queries, classes] of 0 and 1; sharing a label makes an item relevant.
        database_codes: [items, bits].
        database_labels: multi-hot [items, classes].
        at: score the first `at` ranks only; AP@k is divided by min(k, relevant items).

    Raises:
        BadInput: arrays of another form, codes that are NaN or written as 0 and 1, `at` below 1, or
            no query with a relevant item.
    """
    given = [
        _array(a, n) for a, n in zip((query_codes, query_labels, database_codes, database_labels), ARRAYS, strict=True)
    ]
    _refuse_zero_one(given[0], given[2])
    codes = _signs(given[0], ARRAYS[0]), _signs(given[2], ARRAYS[2])
    labels = _multi_hot(given[1], ARRAYS[1]), _multi_hot(given[3], ARRAYS[3])
    for (left, left_name), (right, right_name), axis, unit in (
        ((codes[0], ARRAYS[0]), (labels[0], ARRAYS[1]), 0, "rows"),
        ((codes[1], ARRAYS[2]), (labels[1], ARRAYS[3]), 0, "rows"),
        ((codes[0], ARRAYS[0]), (codes[1], ARRAYS[2]), 1, "bits"),
        ((labels[0], ARRAYS[1]), (labels[1], ARRAYS[3]), 1, "classes"),
    ):
        if left.shape[axis] != right.shape[axis]:
            raise BadInput(
                f"{left_name} has {left.shape[axis]} {unit}, {right_name} has {right.shape[axis]}; they must agree"
            )
    if at is not None and at < 1:
        raise BadInput(f"at={at} ranks nothing; give a number from 1, or none for the whole ranking")
    counts = count(codes[0], labels[0], codes[1], labels[1])
    ap = average_precision(counts, at)
    scored = ~np.isnan(ap.expected)
    if not scored.any():
        raise BadInput("no query shares a label with any database item; check the labels' columns")
    expected, low, high, blind = (float(v[scored].mean()) for v in (ap.expected, ap.low, ap.high, chance(counts, at)))
    return Retrieval(ap.expected, ap.low, ap.high, expected, low, high, blind, int((~scored).sum()))


def score_file(path: Path, at: int | None = None) -> Retrieval:
    """Score an .npz file with the arrays query_codes, query_labels, database_codes, database_labels.

    Raises:
        BadInput: the file can't be read as such, lacks an array or holds Python objects.
    """
    found = read_arrays(path, LARGEST, wanted=ARRAYS)
    return retrieval(**found, at=at)


def _array(given: Any, name: str) -> NDArray[Any]:
    if hasattr(given, "detach"):
        given = given.detach().cpu().numpy()
    array = np.asarray(given)
    if array.ndim != 2 or 0 in array.shape:
        raise BadInput(f"{name} has shape {list(array.shape)}; give rows and columns, none of them empty")
    if array.dtype.kind not in "biuf":
        raise BadInput(f"{name} holds {array.dtype}; give numbers")
    return array


def _refuse_zero_one(query_codes: NDArray[Any], database_codes: NDArray[Any]) -> None:
    if query_codes.dtype == np.bool_ and database_codes.dtype == np.bool_:
        return
    values = np.union1d(np.unique(query_codes), np.unique(database_codes))
    if np.array_equal(values, [0, 1]):
        raise BadInput("the codes are written as 0 and 1, whose signs are all +1; pass 2 * codes - 1, or booleans")


def _signs(codes: NDArray[Any], name: str) -> Bits:
    if codes.dtype == np.bool_:
        return codes
    if not np.isfinite(codes).all():
        raise BadInput(f"{name} holds NaN or infinity; a code needs finite numbers")
    return np.asarray(codes >= 0)


def _multi_hot(labels: NDArray[Any], name: str) -> Bits:
    odd = labels[(labels != 0) & (labels != 1)]
    if odd.size:
        raise BadInput(f"{name} holds {odd.flat[0]}; labels are multi-hot rows of 0 and 1")
    return np.asarray(labels != 0)
