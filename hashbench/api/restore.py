"""A leaderboard's cells, probes, certificates and models put back into a store, so that a run goes on from them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hashbench.boards.evidence_files import CERTIFICATES, PROBES, Evidence, read_evidence
from hashbench.boards.files import Row, read_rows
from hashbench.boards.leaderboard import HOST
from hashbench.boards.query_files import HOST_TABLE, IDENTITY
from hashbench.errors import BadInput
from hashbench.evaluation.flags import STATEFUL
from hashbench.evaluation.judge import Arrays
from hashbench.metrics.average_precision import average_precision
from hashbench.metrics.distance_counts import Counts
from hashbench.readers.folders import list_files
from hashbench.running.cell import cell_key
from hashbench.running.certificates import LIMIT, TOO_LONG, certificate_key
from hashbench.running.probes import key_of_probe
from hashbench.running.store import Store
from hashbench.verification.board import SANITY, verify_board
from hashbench.verification.zoo import take_models, zoo_index

SECONDS, WHOLE = ("attack_seconds", "train_seconds"), ("peak_memory_mb", "threads")  # numbers of provenance.csv

OF_BOARD = ("map_clean", "ci_low", "ci_high", "t_ci_low", "t_ci_high")  # made anew for each board, from other cells


@dataclass(frozen=True)
class Restored:
    """How much was put into the store, and a line for each part of the leaderboard that can't be."""

    cells: int
    probes: int
    certificates: int
    models: int
    left_out: tuple[str, ...]


def restore_board(folder: Path, store: Store) -> Restored:
    """Put what a leaderboard's folder holds into a store that lacks it, after recomputing every number.

    What the store has stays as it is. Left out are invalid cells; parts of older versions, which no run would use; and
    rows with the flag `stateful`, which only their models can show again.

    Raises:
        BadInput: a number of the folder does not follow from its evidence.
        StoreUnusable: the store can't be written.
    """
    found = verify_board(folder, pictures=lambda *_: None)
    if found.problems:
        raise BadInput(f"{folder} is not restored: {found.problems[0]}; 'hashbench verify' names all that is wrong")
    hosts = {row["config_digest"]: _host(row) for row in read_rows(folder / HOST_TABLE)}
    flagged = {row["defense"] for row in read_rows(folder / SANITY) if STATEFUL in row.get("flags", "").split()}
    left_out = [f"{defense} is {STATEFUL}; run it again" for defense in sorted(flagged)]
    cells = probes = certificates = 0
    for result, arrays in found.cells:
        if result.identity["defense"] in flagged:
            continue
        if cell_key(result.identity) != result.key:
            left_out.append(f"the cell {result.key} is of an older version")
        elif store.cell(result.key) is None:
            numbers = {name: value for name, value in result.numbers.items() if name not in OF_BOARD}
            whole = replace(result, numbers={**numbers, "config_digest": result.key}, host=hosts[result.key])
            store.save_cell(whole, _with_bounds(arrays))
            cells += 1
    for result, arrays in _evidence(folder, PROBES):
        if key_of_probe(result.identity) != result.key:
            left_out.append(f"the probe {result.key} is of an older version")
        elif result.identity["defense"] not in flagged and store.probe(result.key) is None:
            store.save_probe(replace(result, host={"created_utc": ""}), arrays)
            probes += 1
    for result, arrays in _evidence(folder, CERTIFICATES):
        if certificate_key(result.identity, result.identity["goal"]) != result.key:
            left_out.append(f"the certificate {result.key} is of an older version")
        elif result.identity["defense"] not in flagged and store.certificate(result.key) is None:
            limit = {LIMIT: 0.0} if result.reason == TOO_LONG else {}  # a run with more time makes it
            store.save_certificate(replace(result, host={"created_utc": "", **limit}), arrays)
            certificates += 1
    models = take_models(folder, zoo_index(folder), store)
    return Restored(cells, probes, certificates, len(models), tuple(left_out))


def _evidence(folder: Path, kind: str) -> Iterator[Evidence]:
    for name in list_files(folder).files:
        if name.startswith(f"{kind}/"):
            yield read_evidence(folder, name)


def _with_bounds(arrays: Arrays) -> Arrays:
    """The arrays of a cell as a store has them: counts in four bytes, and the bounds of AP that follow from them."""
    wide = {name: array.astype(np.int32) if array.dtype == np.uint16 else array for name, array in arrays.items()}
    found = average_precision(Counts(wide["items"].astype(np.int64), wide["relevant"].astype(np.int64)))
    return {**{name: array for name, array in wide.items() if name != IDENTITY}, "low": found.low, "high": found.high}


def _host(row: Row) -> dict[str, Any]:
    """A row of provenance.csv with its numbers as numbers."""
    host: dict[str, Any] = {name: row[name] for name in HOST if row.get(name)}
    host |= {name: float(row[name]) for name in SECONDS if row.get(name)}
    host |= {name: int(row[name]) for name in WHOLE if row.get(name)}
    return {**host, "code_dirty": row.get("code_dirty") == "True", "created_utc": row.get("created_utc", "")}
