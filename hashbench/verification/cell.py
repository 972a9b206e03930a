"""One cell recomputed from its per-query file: every number that follows from counts and APs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hashbench.boards.leaderboard import KEY
from hashbench.errors import BadInput, BadParameter, UsageError
from hashbench.evaluation.judge import PATCH_SIDE, RADIUS, TOP, Arrays, Numbers
from hashbench.metrics.average_precision import (
    AveragePrecision,
    average_precision,
    chance,
    precision_within,
    relevant_fraction,
)
from hashbench.metrics.distance_counts import Counts
from hashbench.readers.text import printable, shown
from hashbench.readers.toml_files import LARGEST_SEED, MOST_BITS
from hashbench.registry.spec import Spec
from hashbench.threat import KINDS, TOLERANCE, Threat, kind_of

CLOSE = 1e-9  # between APs of one file: both come from the same integers
ROUNDED = 1.01e-6  # between a number of a table and the one made again, at six decimals
PER_QUERY = ("average_precision", "average_precision_8bit", "linf", "l2", "bits_moved")
LONGEST = 400  # characters of a name
MOST = 10_000_000  # values of one array: 150,000 queries of 64 bits; sums of them take some eight times the memory
NAMED = ("dataset", "backbone", "method", "defense", "attack")
AIMED = ("target_average_precision", "target_average_precision_clean")


def make_again(arrays: Arrays, identity: Mapping[str, Any], name: str) -> Numbers:
    """The numbers of a cell from its per-query arrays alone.

    Numbers that need the model are not included: passes, digests, distinct codes, entropy, and for a targeted
    attack the tie bounds and the chance level.

    Args:
        name: the file's name, for messages.

    Raises:
        BadInput: an array is missing, has the wrong shape, holds an unexpected NaN, or contradicts another.
    """
    check_shapes(arrays, identity, name)
    counts = Counts(arrays["items"].astype(np.int64), arrays["relevant"].astype(np.int64))
    sizes = counts.items.sum(axis=1)
    if (counts.relevant > counts.items).any() or (counts.relevant < 0).any() or len(set(sizes.tolist())) != 1:
        raise BadInput(f"{name}: its counts of items contradict one another")
    ap = average_precision(counts)
    known = ~np.isnan(ap.expected)
    _check_values(arrays, ap, known, name)
    _check_budget(arrays, Threat(float(identity["eps"]), identity["norm"]), name)

    def mean(values: NDArray[Any]) -> float:
        return float(values[known].mean())

    numbers: Numbers = {
        "map": mean(ap.expected),
        "map_low": mean(ap.low),
        "map_high": mean(ap.high),
        "map_at_k": mean(average_precision(counts, TOP).expected),
        "k": TOP,
        "precision_radius_2": mean(precision_within(counts, RADIUS)),
        "bits_moved": float(arrays["bits_moved"].mean()),
        "chance_map": mean(chance(counts)),
        "relevant_fraction": mean(relevant_fraction(counts)),
        "n_queries": len(known),
        "n_without_relevant": int((~known).sum()),
        "n_database": int(sizes[0]),
        "linf_max": float(arrays["linf"].max()),
        "l2_mean": torch.from_numpy(arrays["l2"]).mean().item(),  # in single precision, as where it was measured
        "map_8bit": mean(arrays["average_precision_8bit"]),
    }
    return {**numbers, **_aimed(arrays, ap)} if identity["goal"] == "targeted" else numbers


def check_shapes(arrays: Arrays, identity: Mapping[str, Any], name: str) -> None:
    """Refuse arrays that are missing, or of another shape or kind than the cell's.

    Raises:
        BadInput: with the array and its shape.
    """
    items, bits = arrays.get("items"), int(identity["bits"])
    queries = len(items) if items is not None and items.ndim else 0
    wanted: dict[str, tuple[tuple[int, ...], str]] = {
        "items": ((queries, bits + 1), "iu"),
        "relevant": ((queries, bits + 1), "iu"),
        "codes": ((queries, -(-bits // 8)), "u"),
        **dict.fromkeys(PER_QUERY, ((queries,), "f")),
    }
    if kind_of(str(identity["norm"])) == "patch":
        wanted[PATCH_SIDE] = ((queries,), "f")
    if identity["goal"] == "targeted":
        wanted |= dict.fromkeys(AIMED, ((queries,), "f"))
    for array, (shape, kinds) in wanted.items():
        if array not in arrays:
            raise BadInput(f"{name} lacks {array}")
        found = arrays[array]
        if found.size > MOST:
            raise BadInput(f"{name}: {array} has {found.size:,} values; {MOST:,} is the most that is looked at")
        if found.shape != shape or not queries or found.dtype.kind not in kinds:
            raise BadInput(f"{name}: {array} is {found.dtype} {list(found.shape)}; wanted {list(shape)}")


def _check_values(arrays: Arrays, ap: AveragePrecision, known: NDArray[np.bool_], name: str) -> None:
    """Refuse numbers that are not finite or not those of the counts."""
    if not known.any():
        raise BadInput(f"{name}: no query has a relevant item")
    scores = ("average_precision", "average_precision_8bit")
    for array in (*PER_QUERY, *(array for array in AIMED if array in arrays)):
        values = arrays[array][known] if array in scores else arrays[array]
        if not np.isfinite(values).all():
            raise BadInput(f"{name}: {array} holds NaN or infinity")
        if (values < 0).any() or (array != "l2" and (values > 1 + TOLERANCE).any()):
            raise BadInput(f"{name}: {array} holds {values.min():.6g} to {values.max():.6g}, out of its range")
    off = np.abs(arrays["average_precision"] - ap.expected)[known]
    if off.max() > CLOSE:
        raise BadInput(
            f"{name}: {(off > CLOSE).sum()} of its APs are not those of its counts, by up to {off.max():.6f}"
        )


def _check_budget(arrays: Arrays, threat: Threat, name: str) -> None:
    """Refuse distances from the clean images that are out of budget."""
    if problem := threat.excess(float(arrays["l2" if threat.norm == "l2" else "linf"].max())):
        raise BadInput(f"{name}: " + problem.replace("the budget", "the row's eps"))
    if threat.side and (problem := threat.spread(float(arrays[PATCH_SIDE].max()))):
        raise BadInput(f"{name}: {problem}")


def _aimed(arrays: Arrays, ap: AveragePrecision) -> Numbers:
    """The numbers of a targeted attack."""
    reached, before = (arrays[array] for array in AIMED)
    known = ~np.isnan(ap.expected)
    return {
        "t_map": float(reached.mean()),
        "t_map_clean": float(before.mean()),
        "map_own": float(ap.expected[known].mean()),
        "success_rate": float((reached > np.nan_to_num(ap.expected)).mean()),
    }


def check_identity(identity: Mapping[str, Any], name: str) -> None:
    """Refuse an identity that lacks a field, or has one of another kind.

    Raises:
        BadInput: with the field.
    """
    for column in KEY:
        value = identity.get(column)
        kind: tuple[type, ...] = (str,)
        if column in ("schema_version", "protocol_version", "bits", "seed"):
            kind = (int,)
        elif column == "eps":
            kind = (int, float)
        if column not in identity or not isinstance(value, kind) or isinstance(value, bool):
            raise BadInput(f"{name}: its {column} is {shown(value)}, which is not valid")
        if isinstance(value, str) and printable(value, LONGEST) != value:
            raise BadInput(f"{name}: its {column} is {shown(value)}; give {LONGEST} plain characters at most")
        if column in NAMED:
            _check_label(str(value), column, name)
    if not isinstance(identity.get("attack_params"), dict):
        raise BadInput(f"{name}: its attack_params are not a table of parameters")
    if not isinstance(identity.get("versions", {}), dict):
        raise BadInput(f"{name}: its versions are not a table of versions")
    eps, bits, seed = identity["eps"], identity["bits"], identity["seed"]
    if kind_of(identity["norm"]) not in KINDS:
        raise BadInput(f"{name}: its norm is {shown(identity['norm'])}; no cell has it")
    if not _is_threat(eps, identity["norm"]) or not 1 <= bits <= MOST_BITS or not 0 <= seed <= LARGEST_SEED:
        told = f"{shown(eps)}, its bits are {shown(bits)} and its seed is {shown(seed)}"
        raise BadInput(f"{name}: its eps is {told}; no cell has these")


def _is_threat(eps: float, norm: str) -> bool:
    try:
        Threat(float(eps), norm)
    except BadParameter:
        return False
    return True


def _check_label(value: str, column: str, name: str) -> None:
    """Refuse a name with parameters that can't be read as such: an empty one, or one without a name."""
    try:
        Spec.parse(value)
    except UsageError:
        raise BadInput(f"{name}: its {column} is {shown(value)}, which names nothing; no cell has it") from None


def differs(text: str, value: Any) -> bool:
    """Whether a table's text is not the value, which is rounded at six decimals."""
    if value is None or isinstance(value, str | bool):
        return text != ("" if value is None else str(value))
    try:
        return not abs(float(text) - value) <= ROUNDED * max(1.0, abs(value))
    except ValueError:
        return True
