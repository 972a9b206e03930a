"""A valid submission with invented numbers: nothing is trained for it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from hashbench.digests import signed
from hashbench.metrics.average_precision import average_precision
from hashbench.metrics.distance_counts import count
from hashbench.running.store import Result
from hashbench.verification.cell import make_again

BITS, QUERIES, ITEMS, CLASSES = 16, 12, 60, 3
IDENTITY: dict[str, Any] = {
    "schema_version": 1, "protocol_version": 1, "dataset": "digits", "split_digest": "d" * 16, "backbone": "cnn",
    "method": "csq", "training": "clean", "bits": BITS, "norm": "linf", "eps": 0.125, "seed": 0, "defense": "cgat",
    "attack": "hag", "attack_params": {"steps": 5}, "goal": "untargeted", "access": "white", "attacker": "adaptive",
    "index": "reindexed", "versions": {},
}  # fmt: skip


def invented_arrays() -> dict[str, np.ndarray[Any, Any]]:
    """The per-query arrays of a cell, which agree with one another."""
    random = np.random.default_rng(0)
    labels = [np.eye(CLASSES, dtype=bool)[np.arange(number) % CLASSES] for number in (QUERIES, ITEMS)]
    codes = [random.random((number, BITS)) < 0.5 for number in (QUERIES, ITEMS)]
    counts = count(codes[0], labels[0], codes[1], labels[1])
    ap = average_precision(counts).expected
    return {
        "items": np.asarray(counts.items), "relevant": np.asarray(counts.relevant), "average_precision": ap,
        "average_precision_8bit": ap, "codes": np.packbits(codes[0], axis=1),
        "linf": np.full(QUERIES, 0.1, np.float32), "l2": np.ones(QUERIES, np.float32), "bits_moved": np.zeros(QUERIES),
    }  # fmt: skip


def invented_record(**changed: Any) -> dict[str, Any]:
    """The record of the cell, signed, with some fields of its identity changed; `key` and the like are its own."""
    own: dict[str, Any] = {
        name: changed.pop(name) for name in ("key", "status", "reason", "numbers", "host") if name in changed
    }
    numbers = make_again(invented_arrays(), IDENTITY, "queries.npz")
    result = Result("0123456789abcdef", {**IDENTITY, **changed}, numbers, {"code_dirty": False}, "valid", "")
    return signed({**asdict(result), **own})


def write_submission(
    folder: Path, arrays: dict[str, np.ndarray[Any, Any]] | None = None, record: object = None
) -> Path:
    """Write run.json and queries.npz into a new folder."""
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps(invented_record() if record is None else record))
    np.savez_compressed(folder / "queries.npz", **(arrays or invented_arrays()))  # type: ignore[arg-type]
    return folder
