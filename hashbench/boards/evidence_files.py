"""What is kept of models in a leaderboard's folder: the evidence of probes and certificates behind its tables."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hashbench.errors import BadInput
from hashbench.evaluation.judge import Arrays
from hashbench.readers.json_files import read_json
from hashbench.readers.npz_files import read_arrays
from hashbench.readers.records import record
from hashbench.running.shared_files import replaced
from hashbench.running.store import Result

PROBES, CERTIFICATES = "probes", "certificates"  # the folders
RECORD = "record"  # the array that holds the record, as JSON
LARGEST = 1 << 26  # bytes of the arrays of one file
Evidence = tuple[Result, Arrays]


@dataclass(frozen=True)
class _Record:
    """The record of a probe or a certificate without times and machine, which differ between runs."""

    key: str
    identity: dict[str, Any]
    numbers: dict[str, Any]
    status: str = "valid"
    reason: str = ""


def save_evidence(folder: Path, kind: str, found: Iterable[Evidence]) -> None:
    """Write <kind>/<key>.npz for each probe or certificate, and remove those of others.

    Each holds its record and its per-query arrays.

    Args:
        kind: PROBES or CERTIFICATES.
    """
    target = folder / kind
    target.mkdir(parents=True, exist_ok=True)
    kept = set()
    for result, arrays in found:
        path = target / f"{result.key}.npz"
        content = {name: getattr(result, name) for name in ("key", "identity", "numbers", "status", "reason")}
        with replaced(path) as draft, draft.open("wb") as file:
            np.savez_compressed(file, **{RECORD: np.array(json.dumps(content, sort_keys=True))}, **arrays)  # type: ignore[arg-type]
        kept.add(path)
    for path in set(target.glob("*.npz")) - kept:
        path.unlink()


def read_evidence(folder: Path, name: str) -> Evidence:
    """A probe or a certificate of a leaderboard's folder, which may come from anyone; nothing in it is executed.

    Args:
        name: of its file, from the folder.

    Raises:
        BadInput: it is no such file.
    """
    arrays = dict(read_arrays(folder / name, LARGEST, inside=folder))
    text = arrays.pop(RECORD, None)
    if text is None or text.ndim or text.dtype.kind != "U":
        raise BadInput(f"{name} does not say which model it belongs to; write it again with 'hashbench report'")
    found = record(read_json(str(text[()]), name=name), _Record, name)
    return Result(found.key, found.identity, found.numbers, {}, found.status, found.reason), arrays
