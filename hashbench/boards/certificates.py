"""Certificates in tables: of a board's cells, of a defense over its seeds, and of models on their own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from hashbench.boards.evidence_files import Evidence
from hashbench.boards.intervals import ConfidenceInterval, Reader, cell_intervals, level_intervals, scored
from hashbench.boards.leaderboard import title_of
from hashbench.boards.tables import rounded
from hashbench.metrics.bootstrap import Floats
from hashbench.registry.short_labels import defense_name
from hashbench.running.cell import ADAPTIVE
from hashbench.running.certificates import UNTARGETED, certificate_key
from hashbench.running.store import Result, Store

IN_RESULTS = ("certified",)  # columns that boards of before certificates lack
IN_RANKING = ("certified", "certified_ci_low", "certified_ci_high", "free_bits", "untouched_share")
KEPT = ("certified", "free_bits", "exact")  # arrays of a certificate in a leaderboard's folder
COLUMNS = (
    "defense", "seed", "certified", "ci_low", "ci_high", "map_worst", "attacks", "map_low_clean", "free_bits",
    "untouched_share", "exact_share", "n_queries",
)  # fmt: skip

Certificates = Mapping[tuple[str, int], Evidence]  # lower bounds, by defense and seed
NO_CERTIFICATES: Certificates = MappingProxyType({})


@dataclass(frozen=True, eq=False)
class DefenseCertificate:
    """What is certified of a defense: lower bounds of AP [seeds, queries], or why there are none.

    `free` are the bits that may change [seeds, queries].
    """

    values: Floats = field(default_factory=lambda: np.empty((0, 0)))
    free: Floats = field(default_factory=lambda: np.empty((0, 0)))
    interval: ConfidenceInterval | None = None
    reason: str = ""

    @property
    def value(self) -> float | None:
        """Certified mAP: mean over seeds and queries."""
        return float(self.values.mean()) if self.values.size else None

    @property
    def note(self) -> str:
        """Why there is no certificate, for the row's note; empty if there is one, or none was wanted."""
        return f"no certificate: {self.reason}" if self.reason else ""

    @property
    def columns(self) -> dict[str, float | None]:
        """The columns IN_RANKING."""
        if self.value is None:
            return dict.fromkeys(IN_RANKING)
        bounds = (self.interval.low, self.interval.high) if self.interval else (None, None)
        numbers = (self.value, *bounds, float(self.free.mean()), float((self.free == 0).mean()))
        return dict(zip(IN_RANKING, numbers, strict=True))


def certificates_of(results: Iterable[Result], store: Store) -> list[Evidence]:
    """The store's certificates of the models of valid cells, of the same weights, sorted by key."""
    found: dict[str, Evidence] = {}
    for result in results:
        if result.status != "valid" or result.identity["attacker"] != ADAPTIVE:
            continue
        key = certificate_key(result.identity, result.identity["goal"])
        stored = None if key in found else store.certificate(key)
        if stored and stored.numbers.get("model_digest") == result.numbers["model_digest"]:
            arrays = store.certificate_arrays(stored)
            found[key] = stored, {name: arrays[name] for name in KEPT if name in arrays}
    return [found[key] for key in sorted(found)]


def lower_bounds(found: Iterable[Evidence]) -> Certificates:
    """The certificates of AP among some, refused ones included, by defense and seed."""
    return {
        (result.identity["defense"], result.identity["seed"]): (result, arrays)
        for result, arrays in found
        if result.identity["goal"] == UNTARGETED
    }


def cell_columns(results: Sequence[Result], arrays: Reader, certificates: Certificates) -> dict[str, dict[str, float]]:
    """For each cell, by key, the columns of results.csv that are not the cell's own numbers.

    They are the bounds of its intervals and, where it is valid, certified mAP. That bounds no targeted attack, and
    none by an attacker who doesn't know the model as it is.
    """
    columns = cell_intervals(results, arrays)
    for result in results:
        identity = result.identity
        own, held = certificates.get((identity["defense"], identity["seed"]), (None, {}))
        bounded = identity["goal"] == UNTARGETED and identity["attacker"] == ADAPTIVE and result.status == "valid"
        if bounded and own is not None and own.status == "valid":
            columns.setdefault(result.key, {})["certified"] = _mean(held["certified"])
    return columns


def of_defenses(rows: Iterable[tuple[str, Sequence[int]]], certificates: Certificates) -> list[DefenseCertificate]:
    """What is certified of each defense over its seeds, in order, with intervals."""
    found = [_of_defense(defense, seeds, certificates) for defense, seeds in rows]
    bounds = level_intervals([one.values for one in found])
    return [replace(one, interval=interval) for one, interval in zip(found, bounds, strict=True)]


def _of_defense(defense: str, seeds: Sequence[int], certificates: Certificates) -> DefenseCertificate:
    """What is certified of a defense over some seeds, of all of them or none."""
    own = [certificates.get((defense, seed)) for seed in seeds]
    there = [one for one in own if one]
    refused = [result.reason for result, _ in there if result.status != "valid"]
    if not there or refused:
        return DefenseCertificate(reason=refused[0] if refused else "")
    if lacking := [str(seed) for seed, one in zip(seeds, own, strict=True) if one is None]:
        return DefenseCertificate(reason=f"seed {' '.join(lacking)} has none; run it again without --certify no")
    values, free = (np.stack([arrays[name].astype(np.float64) for _, arrays in there]) for name in KEPT[:2])
    return DefenseCertificate(scored(values), free)


def certificate_table(found: Sequence[Evidence], store: Store) -> pd.DataFrame:
    """One row per model: certified mAP with its 95 % interval, and the worst case over its stored cells, if any.

    `certified` bounds the mAP in the worst order of ties under any attack; `map_low_clean` is the mAP of the clean
    queries in that order, `map_worst` that of the per-query minimum over the stored untargeted attacks and the clean
    query. `free_bits` is the mean number of bits that may change, `untouched_share` the share of queries without such
    bits, and `exact_share` the share of queries whose bound some setting of the free bits attains.

    Args:
        found: valid certificates with all arrays of the store. Those of a restored board have no clean precisions; the
            cell of the clean queries has them, and without it `map_low_clean` stays empty.
    """
    bounded = _bounded(found, store)
    return rounded([_row(one, bounded[one[0].key], store) for one in found], COLUMNS)


def certificate_lines(found: Sequence[Evidence], table: pd.DataFrame) -> list[str]:
    """The same as text, one line per model.

    Args:
        table: of `certificate_table`.
    """
    said = []
    if found:
        said.append(f"{title_of(found[0][0].identity)}; certified mAP: no attack within the budget can go below it")
    for (result, _), row in zip(found, table.to_dict("records"), strict=True):
        worst = f"{100 * row['map_worst']:.1f} under {row['attacks']}" if row["attacks"] else "not attacked yet"
        low, seconds = row["map_low_clean"], result.host.get("certificate_seconds")  # a restored one may lack both
        clean = "" if pd.isna(low) else f", clean {100 * low:.1f} in the worst order of ties"
        said.append(
            f"{defense_name(row['defense'])}, seed {row['seed']}: certified {100 * row['certified']:.1f} "
            f"[{100 * row['ci_low']:.1f}, {100 * row['ci_high']:.1f}], worst case {worst}{clean}; "
            f"{row['free_bits']:.1f} bits may change, "
            f"{100 * row['untouched_share']:.0f} % of the queries can't be touched"
            f"{'' if seconds is None else f'; {seconds:.1f} s'}"
        )
    return said


def _row(one: Evidence, cells: Sequence[Result], store: Store) -> dict[str, Any]:
    result, arrays = one
    (interval,) = level_intervals([scored(arrays["certified"][None])])
    attacked = [cell for cell in cells if cell.identity["attack"] != "none"]
    known = ~np.isnan(arrays["certified"])
    values = [store.arrays(cell)["average_precision"][known] for cell in cells] if attacked else []
    worst = np.minimum.reduce(values) if values else None
    unattacked = [cell for cell in cells if cell.identity["attack"] == "none"]
    clean = arrays["clean"] if "clean" in arrays else store.arrays(unattacked[0])["low"] if unattacked else None
    return {
        "defense": result.identity["defense"],
        "seed": result.identity["seed"],
        "certified": _mean(arrays["certified"]),
        "ci_low": interval.low if interval else None,
        "ci_high": interval.high if interval else None,
        "map_worst": None if worst is None else float(worst.mean()),
        "attacks": " ".join(sorted(cell.identity["attack"] for cell in attacked)),
        "map_low_clean": None if clean is None else _mean(clean),
        "free_bits": float(arrays["free_bits"].mean()),
        "untouched_share": float((arrays["free_bits"] == 0).mean()),
        "exact_share": float(arrays["exact"].mean()),
        "n_queries": int(known.sum()),
    }


def _bounded(found: Sequence[Evidence], store: Store) -> dict[str, list[Result]]:
    """The valid cells that each certificate bounds, by its key."""
    own = {result.key: result.numbers["model_digest"] for result, _ in found}
    cells: dict[str, list[Result]] = {key: [] for key in own}
    for cell in store.cells():
        counts = (
            cell.status == "valid" and cell.identity["attacker"] == ADAPTIVE and cell.identity["goal"] == UNTARGETED
        )
        key = certificate_key(cell.identity, UNTARGETED) if counts else ""
        if key in own and cell.numbers["model_digest"] == own[key]:
            cells[key].append(cell)
    return cells


def _mean(values: Floats) -> float:
    return float(values[~np.isnan(values)].mean())
