"""The store: one folder per cell, model and probe, named by content keys and written atomically."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from hashbench.digests import digest, intact, signed
from hashbench.errors import BadInput, StoreUnusable
from hashbench.evaluation.judge import Arrays
from hashbench.readers.folders import sha256
from hashbench.readers.json_files import read_json
from hashbench.readers.npz_files import read_arrays
from hashbench.readers.records import record
from hashbench.readers.text import printable
from hashbench.running.shared_files import DRAFT, held, put_right, written_folder

RECORD, ARRAYS = "cell.json", "queries.npz"
FACTS, WEIGHTS = "model.json", "weights.safetensors"
MODELS, DATABASES = "models", "databases"  # folders of weights, and of database codes
LARGEST_RECORD, LARGEST_ARRAYS = 1 << 24, 1 << 33  # bytes

T = TypeVar("T")


@dataclass(frozen=True)
class Result:
    """One measured cell, or one probed or certified model.

    `identity` and `numbers` are the same whenever the cell is measured on the same machine; `host`
    holds times, costs and the machine. An invalid cell has a reason and no numbers.
    """

    key: str
    identity: dict[str, Any]
    numbers: dict[str, Any]
    host: dict[str, Any]
    status: str = "valid"
    reason: str = ""
    arrays_digest: str = ""


@dataclass(frozen=True)
class StoredTensors:
    """A trained model's tensors, with facts about their training."""

    tensors: dict[str, Tensor]
    facts: dict[str, Any] = field(default_factory=dict)


class Store:
    """A folder of results and checkpoints.

    A folder gets its name only when it is complete, so that a kill at any moment leaves no partial folder.
    Anything damaged counts as absent and is recomputed.

    Raises:
        StoreUnusable: the folder can't be made or written.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        try:
            for name in ("cells", MODELS, DATABASES, "probes", "certificates", "trainings"):
                (root / name).mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=root):
                pass
        except OSError as error:
            raise StoreUnusable(
                f"can't write the store {printable(str(root))} ({error.strerror}); choose another folder with --store"
            ) from None
        for folder in root.iterdir():
            put_right(folder)

    def clock(self) -> float:
        """The current time by the clock that stamps the store's files, which may be another machine's."""
        with tempfile.NamedTemporaryFile(dir=self.root) as file:
            return Path(file.name).stat().st_mtime

    def lock(self, key: str, what: str) -> AbstractContextManager[None]:
        """A lock that lets one process at a time make a cell or a model."""
        return held(self.root / "locks" / key, what)

    def lock_boards(self, out: Path) -> AbstractContextManager[None]:
        """A lock that lets one command of this store at a time write the leaderboards' folder."""
        return self.lock(digest(["boards", str(out.resolve())]), f"tables and pictures in {printable(str(out))}")

    def cell(self, key: str, since: float | None = None) -> Result | None:
        """A stored cell, or None if it is missing, damaged or written before `since`."""
        return self._result("cells", key, since)

    def cells(self) -> Iterator[Result]:
        """All undamaged cells in the store, sorted by key."""
        return self._results("cells")

    def arrays(self, result: Result) -> Arrays:
        """The per-query arrays of a stored cell; empty if it has none."""
        return self._arrays("cells", result)

    def save_cell(self, result: Result, arrays: Arrays) -> Result:
        """Store a cell with its per-query arrays, replacing one with the same key."""
        return self._save("cells", result, arrays)

    def probe(self, key: str, since: float | None = None) -> Result | None:
        """A stored probe of a defended model, or None, as for a cell."""
        return self._result("probes", key, since)

    def probes(self) -> Iterator[Result]:
        """All undamaged probes in the store, sorted by key."""
        return self._results("probes")

    def probe_arrays(self, probe: Result) -> Arrays:
        """The per-query arrays of a stored probe; empty if it has none."""
        return self._arrays("probes", probe)

    def save_probe(self, probe: Result, arrays: Arrays) -> Result:
        """Store a probe with its per-query arrays, replacing one with the same key."""
        return self._save("probes", probe, arrays)

    def certificate(self, key: str, since: float | None = None) -> Result | None:
        """A stored certificate of a defended model, or None, as for a cell."""
        return self._result("certificates", key, since)

    def certificate_arrays(self, found: Result) -> Arrays:
        """The per-query arrays of a stored certificate; empty if it has none."""
        return self._arrays("certificates", found)

    def save_certificate(self, found: Result, arrays: Arrays) -> Result:
        """Store a certificate with its per-query arrays, replacing one with the same key."""
        return self._save("certificates", found, arrays)

    def _result(self, kind: str, key: str, since: float | None) -> Result | None:
        folder = self.root / kind / key
        return _read_cell(folder) if _is_newer(folder / RECORD, since) else None

    def _results(self, kind: str) -> Iterator[Result]:
        for folder in sorted((self.root / kind).iterdir()):
            result = None if folder.name.startswith(DRAFT) else _read_cell(folder)
            if result:
                yield result

    def _arrays(self, kind: str, result: Result) -> Arrays:
        if not result.arrays_digest:
            return {}
        return read_arrays(self.root / kind / result.key / ARRAYS, LARGEST_ARRAYS)

    def _save(self, kind: str, result: Result, arrays: Arrays) -> Result:
        def write(folder: Path) -> Result:
            digest = ""
            if arrays:
                np.savez(folder / ARRAYS, **arrays)  # type: ignore[arg-type]
                digest = _file_digest(folder / ARRAYS)
            whole = Result(**{**asdict(result), "arrays_digest": digest})
            _write_record(folder / RECORD, asdict(whole))
            return whole

        return written_folder(self.root / kind / result.key, write)

    def model(self, key: str, since: float | None = None, kind: str = MODELS) -> StoredTensors | None:
        """A stored model's weights, or None if they are missing, damaged or older than `since`.

        Args:
            kind: MODELS, or DATABASES for the codes of a database.
        """
        folder = self.root / kind / key
        return _read_weights(folder) if _is_newer(folder / WEIGHTS, since) else None

    def has_model(self, key: str) -> bool:
        """Whether a model's weights are there, damaged or not; fast."""
        return (self.root / MODELS / key / WEIGHTS).is_file()

    def facts(self, key: str) -> dict[str, Any]:
        """The facts about a stored model's training, without its weights; empty if unknown."""
        return _read_record(self.root / MODELS / key / FACTS) or {}

    def save_model(self, key: str, weights: StoredTensors, kind: str = MODELS) -> None:
        """Store a model's weights, replacing those with the same key; `kind` as in `model`."""
        written_folder(self.root / kind / key, lambda folder: _write_weights(folder, weights))

    def training(self, name: str) -> StoredTensors | None:
        """The state of an unfinished training, or None if it is missing or damaged."""
        return _read_weights(self.root / "trainings" / name)

    def save_training(self, name: str, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Store the state of an unfinished training, replacing an earlier one."""
        written_folder(
            self.root / "trainings" / name, lambda folder: _write_weights(folder, StoredTensors(tensors, facts))
        )

    def drop_training(self, name: str) -> None:
        """Delete the state of a training that has ended."""
        shutil.rmtree(self.root / "trainings" / name, ignore_errors=True)


def _is_newer(path: Path, since: float | None) -> bool:
    try:
        return since is None or path.stat().st_mtime >= since
    except OSError:
        return False


def _read_cell(folder: Path) -> Result | None:
    try:
        result = record(_read_record(folder / RECORD), Result, RECORD)
        if result.arrays_digest and _file_digest(folder / ARRAYS) != result.arrays_digest:
            return None
        return result if result.key == folder.name else None
    except (OSError, BadInput):
        return None


def _read_weights(folder: Path) -> StoredTensors | None:
    try:
        facts = _read_record(folder / FACTS)
        if not facts or facts.pop("weights_digest", "") != _file_digest(folder / WEIGHTS):
            return None
        return StoredTensors(load_file(folder / WEIGHTS), facts)
    except (OSError, ValueError, SafetensorError, BadInput):
        return None


def _write_weights(folder: Path, weights: StoredTensors) -> None:
    # Copies, since safetensors refuses tensors that share memory, such as those of tied layers.
    tensors = {name: t.detach().cpu().contiguous().clone() for name, t in weights.tensors.items()}
    save_file(tensors, folder / WEIGHTS)
    facts = {**weights.facts, "weights_digest": _file_digest(folder / WEIGHTS)}
    _write_record(folder / FACTS, facts)


def _write_record(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(signed(content), indent=1, allow_nan=False) + "\n")


def _read_record(path: Path) -> dict[str, Any] | None:
    """A record's fields; None where there is none, or it is not as it was written."""
    try:
        content = read_json(path, limit=LARGEST_RECORD)
    except BadInput:
        return None
    return intact(content) if isinstance(content, dict) else None


def _file_digest(path: Path) -> str:
    """The digest of a regular file; a store may come from someone else, with pipes and links to devices in it."""
    return sha256(path, LARGEST_ARRAYS)[:16]
