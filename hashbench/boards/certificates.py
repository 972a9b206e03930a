"""Certificates as a table and as text: one row per model, next to the worst case of its stored cells."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from hashbench.boards.intervals import intervals, scored
from hashbench.boards.leaderboard import title_of
from hashbench.boards.tables import rounded
from hashbench.evaluation.judge import Arrays
from hashbench.metrics.average_precision import Values
from hashbench.running.certificates import CertifiedModel
from hashbench.running.probes import model_identity
from hashbench.running.store import Result, Store

COLUMNS = (
    "defense", "seed", "certified", "ci_low", "ci_high", "map_worst", "attacks", "map_low_clean", "free_bits",
    "untouched_share", "exact_share", "n_queries",
)  # fmt: skip


def certificate_table(found: Sequence[CertifiedModel], store: Store) -> pd.DataFrame:
    """One row per model: certified mAP with its 95 % interval, and the worst case over its stored cells, if any.

    `certified` bounds the mAP in the worst order of ties under any attack; `map_low_clean` is the mAP of the clean
    queries in that order, `map_worst` that of the per-query minimum over the stored untargeted attacks. `free_bits`
    is the mean number of bits that may change, `untouched_share` the share of queries without such bits, and
    `exact_share` the share of queries whose bound some setting of the free bits attains.
    """
    return rounded([_row(one, store) for one in found], COLUMNS)


def certificate_lines(found: Sequence[CertifiedModel], store: Store) -> list[str]:
    """The same as text, one line per model."""
    title = title_of(found[0].cell.identity) if found else ""
    said = [f"{title}; certified mAP: no attack within the budget can go below it"] if found else []
    for one, row in zip(found, certificate_table(found, store).to_dict("records"), strict=True):
        worst = f"{100 * row['map_worst']:.1f} under {row['attacks']}" if row["attacks"] else "not attacked yet"
        said.append(
            f"{row['defense']}, seed {row['seed']}: certified {100 * row['certified']:.1f} "
            f"[{100 * row['ci_low']:.1f}, {100 * row['ci_high']:.1f}], worst case {worst}, "
            f"clean {100 * row['map_low_clean']:.1f}; {row['free_bits']:.1f} bits may change, "
            f"{100 * row['untouched_share']:.0f} % of the queries can't be touched; {one.seconds:.1f} s"
        )
    return said


def _row(one: CertifiedModel, store: Store) -> dict[str, object]:
    identity, certificate = one.cell.identity, one.certificate
    (interval,) = intervals([scored(certificate.precision[None])])
    attacked = _attacked(one, store)
    known = ~np.isnan(certificate.precision)
    worst = np.minimum.reduce([arrays["average_precision"][known] for _, arrays in attacked]) if attacked else None
    return {
        "defense": identity["defense"],
        "seed": identity["seed"],
        "certified": certificate.map,
        "ci_low": interval.low if interval else None,
        "ci_high": interval.high if interval else None,
        "map_worst": None if worst is None else float(worst.mean()),
        "attacks": " ".join(sorted(result.identity["attack"] for result, _ in attacked)),
        "map_low_clean": _mean(one.clean),
        "free_bits": float(certificate.free.mean()),
        "untouched_share": float(certificate.untouched.mean()),
        "exact_share": float((certificate.way == "exact").mean()),
        "n_queries": int(known.sum()),
    }


def _attacked(one: CertifiedModel, store: Store) -> list[tuple[Result, Arrays]]:
    """The valid cells of a model under untargeted attacks, with their arrays."""
    own = model_identity(one.cell.identity)
    found = []
    for result in store.cells():
        identity = result.identity
        fits = identity["goal"] == "untargeted" and identity["attack"] != "none" and identity["attacker"] == "adaptive"
        if fits and result.status == "valid" and model_identity(identity) == own:
            found.append((result, store.arrays(result)))
    return found


def _mean(values: Values) -> float:
    return float(values[~np.isnan(values)].mean())
