"""What is kept beside a leaderboard's tables: the evidence of probes and certificates, and rows that others broke."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hashbench.digests import intact
from hashbench.errors import BadInput
from hashbench.evaluation.judge import Arrays
from hashbench.readers.folders import list_files
from hashbench.readers.json_files import read_json
from hashbench.readers.npz_files import read_arrays
from hashbench.readers.records import record
from hashbench.running.shared_files import replaced
from hashbench.running.store import Result

PROBES, CERTIFICATES, BROKEN = "probes", "certificates", "broken"  # the folders
RECORD = "record"  # the array that holds the record, as JSON
LARGEST = 1 << 26  # bytes of the arrays of one file
LARGEST_RECORD = 1 << 16  # bytes of the record of a broken row
Evidence = tuple[Result, Arrays]


@dataclass(frozen=True)
class _Record:
    """The record of a probe or a certificate without times and machine, which differ between runs."""

    key: str
    identity: dict[str, Any]
    numbers: dict[str, Any]
    status: str = "valid"
    reason: str = ""


@dataclass(frozen=True)
class BrokenRow:
    """A row lowered by images that someone else made.

    Attributes:
        by: who is to be credited.
        map_worst: of the row's table: mean of each query's lowest AP.
        map_broken: the same with these images.
        n_images: how many there are.
        n_lowered: how many queries they leave with a lower AP than all attacks of the table.
        images_sha256: of the file with the images.
    """

    defense: str
    seed: int
    model_digest: str
    eps: float
    by: str
    n_images: int
    n_lowered: int
    map_worst: float
    map_broken: float
    images_sha256: str = ""
    created_utc: str = ""
    package_version: str = ""

    @property
    def line(self) -> str:
        """What happened, for people."""
        return (
            f"{self.defense}, seed {self.seed}: worst case {100 * self.map_worst:.1f}, with the images of {self.by} "
            f"{100 * self.map_broken:.1f}; {self.n_lowered} of {self.n_images} queries are lower than under all attacks"
        )


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


def read_breaks(folder: Path) -> list[tuple[str, BrokenRow]]:
    """The broken rows beside a leaderboard's tables, with the name of their record, the newest last.

    Raises:
        BadInput: a record was changed after it was written, or has another form.
    """
    found = []
    for name in list_files(folder).files:
        if name.startswith(f"{BROKEN}/") and name.endswith(".json"):
            content = read_json(folder / name, limit=LARGEST_RECORD, inside=folder)
            plainly = intact(content) if isinstance(content, dict) and "record_digest" in content else None
            if plainly is None:
                raise BadInput(f"{name} was changed after it was written, or is no record of a broken row")
            found.append((name, record(plainly, BrokenRow, name)))
    return sorted(found, key=lambda one: (one[1].created_utc, one[0]))
