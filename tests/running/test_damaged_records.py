"""Single flipped bits, pipes, links and nests in a store: what is damaged counts as absent, whatever it is."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hashbench.running.store import Result, Store, StoredTensors

RESULT = Result("k", {"seed": 0, "defense": "cgat"}, {"map": 0.25}, {"created_utc": "now"})
ARRAYS = {"codes": np.arange(6, dtype=np.uint8)}
WEIGHTS = StoredTensors({"w": torch.arange(3.0)}, {"seconds": 1.5})
Read = Callable[[Store], Any]
READERS: dict[str, Read] = {
    "cells/k/cell.json": lambda store: store.cell("k"),
    "probes/k/cell.json": lambda store: store.probe("k"),
    "models/k/model.json": lambda store: store.model("k"),
    "databases/k/model.json": lambda store: store.model("k", kind="databases"),
    "trainings/k/model.json": lambda store: store.training("k"),
    "cells/k/queries.npz": lambda store: store.cell("k"),
    "probes/k/queries.npz": lambda store: store.probe("k"),
    "models/k/weights.safetensors": lambda store: store.model("k"),
}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    found = Store(tmp_path / "runs")
    found.save_cell(RESULT, ARRAYS)
    found.save_probe(RESULT, ARRAYS)
    found.save_model("k", WEIGHTS)
    found.save_model("k", WEIGHTS, "databases")
    found.save_training("k", WEIGHTS.tensors, WEIGHTS.facts)
    return found


def same(one: Any, other: Any) -> bool:
    if isinstance(one, StoredTensors) and isinstance(other, StoredTensors):
        equal = all(torch.equal(one.tensors[name], tensor) for name, tensor in other.tensors.items())
        return equal and one.facts == other.facts
    return bool(one == other)


@pytest.mark.parametrize("name", READERS)
def test_no_flipped_bit_is_ever_used(store: Store, name: str) -> None:
    path, read = store.root / name, READERS[name]
    content, whole = path.read_bytes(), read(store)
    assert whole is not None
    for place in range(0, 8 * len(content), 1 if name.endswith(".json") else 41):
        changed = bytearray(content)
        changed[place // 8] ^= 1 << place % 8
        path.write_bytes(changed)
        found = read(store)
        assert found is None or same(found, whole), f"bit {place % 8} of byte {place // 8}"
    path.write_bytes(content)
    assert same(read(store), whole)


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("spoil", ["pipe", "endless", "folder", "empty", "nested", "terabyte"])
def test_what_is_no_plain_file_or_no_record_counts_as_absent(store: Store, name: str, spoil: str) -> None:
    path = store.root / name
    path.unlink()
    if spoil == "pipe":
        os.mkfifo(path)
    elif spoil == "endless":
        path.symlink_to("/dev/zero")
    elif spoil == "folder":
        path.mkdir()
    elif spoil == "terabyte":
        with path.open("wb") as file:
            file.truncate(1 << 40)
    else:
        path.write_text("" if spoil == "empty" else "[" * 100_000)
    assert READERS[name](store) is None
    assert len(list(store.cells())) == (not name.startswith("cells"))
    assert len(list(store.probes())) == (not name.startswith("probes"))
