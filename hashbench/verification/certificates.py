"""The certificates in a board's folder against its cells: no query lies beyond what its model's certificate allows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hashbench.boards.certificates import IN_RANKING, IN_RESULTS, KEPT, Certificates, lower_bounds
from hashbench.boards.evidence_files import CERTIFICATES, Evidence, read_evidence
from hashbench.boards.query_files import read_digests
from hashbench.errors import BadInput
from hashbench.evaluation.judge import Arrays
from hashbench.metrics.average_precision import average_precision
from hashbench.metrics.distance_counts import Counts
from hashbench.readers.folders import list_files
from hashbench.readers.records import check
from hashbench.running.cell import ADAPTIVE
from hashbench.running.certificates import TARGETED, UNTARGETED, contradiction
from hashbench.running.probes import model_identity
from hashbench.running.store import Result
from hashbench.verification.findings import Findings, who

SAME = 1e-6  # AP; a query that can't be touched has the same one under every attack
NEWER = {"results": IN_RESULTS, "ranking": IN_RANKING}  # columns that came with certificates


def has_certificates(folder: Path) -> bool:
    """Whether a board was written with the columns of certificates, and with what they are made from."""
    return CERTIFICATES in read_digests(folder).evidence


def as_written(table: pd.DataFrame, name: str, folder: Path) -> pd.DataFrame:
    """A table as it should be, without the columns that its board is too old to have."""
    return table if has_certificates(folder) else table.drop(columns=list(NEWER[name]))


def check_certificates(folder: Path, found: Findings) -> Certificates:
    """The lower bounds that a board's folder holds of its models; whatever contradicts its cells is a problem."""
    names = [name for name in list_files(folder).files if name.startswith(f"{CERTIFICATES}/")]
    if names and not has_certificates(folder):
        found.problems.append(f"{CERTIFICATES} is there, and digests.json names no such evidence")
    cells: dict[tuple[str, int, str], list[Evidence]] = {}
    for result, arrays in found.cells:
        if result.identity["attacker"] == ADAPTIVE:
            cells.setdefault(_place(result.identity), []).append((result, arrays))
    held: dict[tuple[str, int, str], Evidence] = {}
    for name in names:
        try:
            own = read_evidence(folder, name)
            place = _check_record(name, own[0], cells)
            if place in held:
                raise BadInput(f"{name} is the second certificate of {place[0]}, seed {place[1]}")
            if own[0].status == "valid":
                _check_arrays(name, own[1], cells[place])
                found.problems += _beyond(own, cells[place])
            held[place] = own
        except BadInput as error:
            found.problems.append(str(error))
    return lower_bounds(held.values())


def _check_record(name: str, own: Result, cells: Mapping[tuple[str, int, str], list[Evidence]]) -> tuple[str, int, str]:
    """The defense, the seed and the goal of a certificate.

    Raises:
        BadInput: it belongs to no model of the board, or contradicts its cells.
    """
    if name != f"{CERTIFICATES}/{own.key}.npz":
        raise BadInput(f"{name} is the certificate {own.key}; write it again with 'hashbench report'")
    for field, kind in (("defense", str), ("seed", int), ("goal", str)):
        check(own.identity.get(field), kind, name, field)
    place = _place(own.identity)
    if place not in cells:
        raise BadInput(f"{name} belongs to {place[0]}, seed {place[1]}, which has no valid {place[2]} cell here")
    for cell, _ in cells[place]:
        if _named(cell.identity) != _named(own.identity):
            raise BadInput(f"{name} belongs to another model than the cells of {place[0]}, seed {place[1]}")
        for digest in ("model_digest", "codes_digest"):
            if cell.numbers.get(digest) != own.numbers.get(digest):
                raise BadInput(f"{name}: its {digest} is not that of the cells of {place[0]}, seed {place[1]}")
    if own.status not in ("valid", "invalid") or (own.status == "invalid") != bool(own.reason):
        raise BadInput(f"{name} is neither a certificate nor the reason why there is none")
    return place


def _check_arrays(name: str, arrays: Arrays, cells: list[Evidence]) -> None:
    """Refuse arrays of another shape than a certificate's, and numbers that none has."""
    result, held = cells[0]
    known = ~np.isnan(held["average_precision"]) if _place(result.identity)[2] == UNTARGETED else None
    queries, bits = len(held["average_precision"]), result.identity["bits"]
    for array, kinds in zip(KEPT, ("f", "iu", "b"), strict=True):
        given = arrays.get(array)
        if given is None or given.shape != (queries,) or given.dtype.kind not in kinds:
            raise BadInput(f"{name}: {array} is missing or is not one value for each of {queries} queries")
    bounds, free = arrays["certified"], arrays["free_bits"]
    numbers = ~np.isnan(bounds)
    if (known is not None and (numbers != known).any()) or not numbers.any():
        raise BadInput(f"{name}: certified has no number for other queries than those without a relevant item")
    if not ((bounds[numbers] >= 0) & (bounds[numbers] <= 1 + SAME)).all():
        raise BadInput(f"{name}: certified holds values outside of 0 to 1")
    if (free < 0).any() or (free > bits).any():
        raise BadInput(f"{name}: free_bits holds {free.min()} to {free.max()}; the codes have {bits} bits")
    if odd := sorted(arrays.keys() - set(KEPT)):
        raise BadInput(f"{name} has the array {odd[0]!r}, which no certificate has")


def _beyond(own: Evidence, cells: list[Evidence]) -> list[str]:
    """The cells of a model of which a query lies beyond its certificate, one line each."""
    found, bounds = own
    goal, still = found.identity["goal"], bounds["free_bits"] == 0
    lines = []
    for cell, arrays in cells:
        counts = Counts(arrays["items"].astype(np.int64), arrays["relevant"].astype(np.int64))
        low = average_precision(counts).low
        told = contradiction({**arrays, "low": low}, cell.identity["bits"], bounds, goal)
        if not told and goal != TARGETED:
            apart = np.flatnonzero(still & (np.abs(low - bounds["certified"]) > SAME))
            told = f"query {apart[0]} can't be touched, and its AP is not the certified one" if len(apart) else ""
        lines += [f"{who(cell.identity)}: {told}"] if told else []
    return lines


def _place(identity: Mapping[str, Any]) -> tuple[str, int, str]:
    return str(identity["defense"]), int(identity["seed"]), str(identity["goal"])


def _named(identity: Mapping[str, Any]) -> str:
    left_out = ("tuned", "goal")
    named = {name: value for name, value in model_identity(identity).items() if name not in left_out}
    return json.dumps(named, sort_keys=True)
