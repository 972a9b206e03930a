"""Submissions: folders with run.json, queries.npz and optionally model.safetensors, accepted or refused."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from hashbench.boards.query_files import IDENTITY, read_arrays, read_identity
from hashbench.digests import intact
from hashbench.errors import BadInput, StoreUnusable, UnknownName
from hashbench.models.weight_files import tensor_digest
from hashbench.readers.folders import list_files
from hashbench.readers.json_files import read_json
from hashbench.readers.records import check, record
from hashbench.readers.text import shown
from hashbench.registry import entries
from hashbench.registry.spec import Spec
from hashbench.running.checkpoints import model_key
from hashbench.running.request import load_once
from hashbench.running.store import ARRAYS, MODELS, RECORD, Result, Store
from hashbench.running.store import WEIGHTS as STORED
from hashbench.verification.cell import check_identity, differs, make_again
from hashbench.verification.findings import Findings, verify_versions
from hashbench.verification.rerun import cell_of, read_weights

RUN, QUERIES, WEIGHTS = "run.json", "queries.npz", "model.safetensors"
LARGEST = 1 << 20  # bytes of a run.json


def verify_submission(folder: Path) -> Findings:
    """Check a submission; anything wrong is listed as a problem, and nothing in the folder is executed."""
    found = Findings()
    try:
        listing = list_files(folder)
        found.problems += listing.odd
        found.problems += [
            f"{name} is not part of a submission and was not opened; send {WEIGHTS} for weights"
            for name in listing.files
            if name not in (RUN, QUERIES, WEIGHTS)
        ]
        result = _read_run(folder / RUN)
        arrays = read_arrays(folder / QUERIES, folder)
        if IDENTITY in arrays and read_identity(arrays, QUERIES) != result.identity:
            raise BadInput(f"{QUERIES} belongs to another cell than {RUN}")
        again = make_again(arrays, result.identity, QUERIES)
    except BadInput as error:
        found.problems.append(str(error))
        return found
    for name, value in again.items():
        given = result.numbers.get(name)
        if given is None or differs(str(given), value):
            found.problems.append(f"{RUN}: {name} is {shown(given)}; {QUERIES} gives {value:.6g}")
    if WEIGHTS in listing.files:
        _check_weights(folder / WEIGHTS, result, found)
    else:
        found.warnings.append(f"there is no {WEIGHTS}, so only someone who has the model can attack it again")
    if result.host.get("code_dirty") is True:
        found.warnings.append("it was made from a dirty working tree")
    found.cells.append((result, arrays))
    return found


def pack(store: Store, digest: str, folder: Path) -> None:
    """Put a stored cell and its model into a new folder, ready for `verify_submission`.

    Raises:
        UsageError: there is no such valid cell, its model is missing, or the folder can't be created.
    """
    result = store.cell(digest)
    if result is None or result.status != "valid":
        raise BadInput(f"the store has no valid cell {digest}; take a config_digest of results.csv")
    cell = cell_of(result.identity, load_once())
    files = {
        RUN: store.root / "cells" / digest / RECORD,
        QUERIES: store.root / "cells" / digest / ARRAYS,
        WEIGHTS: store.root / MODELS / model_key(cell) / STORED,
    }
    try:
        folder.mkdir(parents=True)
        for name, source in files.items():
            shutil.copyfile(source, folder / name)
    except FileNotFoundError as error:
        raise BadInput(f"the store lacks {error.filename}; make the cell again with --fresh") from None
    except OSError as error:
        raise StoreUnusable(f"can't write {folder} ({error.strerror}); name a folder that does not exist yet") from None


def _read_run(path: Path) -> Result:
    """The record of a cell, in the form of the store's cell.json."""
    try:
        content = intact(check(read_json(path, limit=LARGEST, inside=path.parent), dict[str, Any], path.name, ""))
        if content is None:
            raise BadInput("it was changed after it was written: its own digest is another")
        result = record(content, Result, path.name)
    except BadInput as error:
        raise BadInput(f"{path.name} is not a record of a cell ({error}); take the cell.json of your store") from None
    verify_versions(result.identity, path.name)
    check_identity(result.identity, path.name)
    if result.status != "valid":
        raise BadInput(f"{path.name} is of an {result.status} cell; only valid ones are taken")
    return result


def _check_weights(path: Path, result: Result, found: Findings) -> None:
    """Check the weights of a trained defense by their digest; those of others are checked when attacked again."""
    try:
        digest = tensor_digest(read_weights(path).tensors)
    except BadInput as error:
        found.problems.append(str(error))
        return
    try:
        trains = entries.defenses[Spec.parse(str(result.identity["defense"])).name].trains
    except UnknownName:
        trains = True
    if trains and digest != result.numbers.get("model_digest"):
        found.problems.append(
            f"{path.name} has the digest {digest}, the row names {shown(result.numbers.get('model_digest'))}"
        )
