"""The evidence of probes in a leaderboard's folder: what flags, sanity.csv and curve.csv are made from again."""

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

PROBES = "probes"  # the folder
RECORD = "record"  # the array that holds the probe's record, as JSON
LARGEST = 1 << 26  # bytes of the arrays of one file
Probed = tuple[Result, Arrays]


@dataclass(frozen=True)
class _Record:
    """A probe's record without times and machine, which differ between runs."""

    key: str
    identity: dict[str, Any]
    numbers: dict[str, Any]
    status: str = "valid"
    reason: str = ""


def save_probes(folder: Path, probes: Iterable[Probed]) -> None:
    """Write probes/<key>.npz for each probe, with its record and its per-query arrays, and remove those of others."""
    target = folder / PROBES
    target.mkdir(parents=True, exist_ok=True)
    kept = set()
    for probe, arrays in probes:
        path = target / f"{probe.key}.npz"
        content = {name: getattr(probe, name) for name in ("key", "identity", "numbers", "status", "reason")}
        with replaced(path) as draft, draft.open("wb") as file:
            np.savez_compressed(file, **{RECORD: np.array(json.dumps(content, sort_keys=True))}, **arrays)  # type: ignore[arg-type]
        kept.add(path)
    for path in set(target.glob("*.npz")) - kept:
        path.unlink()


def read_probe(folder: Path, name: str) -> Probed:
    """A probe of a leaderboard's folder, which may come from anyone; nothing in it is executed.

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
