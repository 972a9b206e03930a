"""The per-query files of a leaderboard's folder, from which its numbers can be recomputed, and its digests."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from hashbench.boards.intervals import Reader
from hashbench.errors import BadInput
from hashbench.evaluation.judge import Arrays
from hashbench.readers import npz_files
from hashbench.readers.folders import list_files, read_text, sha256
from hashbench.readers.json_files import read_json
from hashbench.readers.records import record
from hashbench.readers.text import printable
from hashbench.running.shared_files import replaced
from hashbench.running.store import Result

QUERIES = "queries"  # the folder
EVIDENCE = ("queries", "probes", "certificates")  # the folders of evidence of today's leaderboards
LARGEST_DIGESTS = 1 << 24  # bytes
DIGESTS = "digests.json"
HOST_TABLE, HOST_DIGEST = "provenance.csv", "provenance.sha256"  # separate, since they differ between runs
PICTURES_VERSION = 2  # 1: no sign at flagged rows; "chance" where precision and recall have the share of relevant items
RANKING_VERSION = 3  # 1: the clean query did not count in the worst case; 2: intervals of mAPs could leave [0, 1]
# Files that other commands add later; those in folders have digests of their own.
ADDED = ("certificates.csv", "compare-", "gallery-", "attack-board-", "broken/", "zoo/")
IDENTITY = "identity"  # the array that says which cell a file belongs to, as JSON
MADE_AGAIN = ("low", "high")  # arrays that are left out, since they follow from the counts
LARGEST = 1 << 29  # bytes of the arrays of one file


def save_queries(folder: Path, results: Iterable[Result], arrays: Reader) -> None:
    """Write queries/<config_digest>.npz for each cell with per-query arrays, and remove files of other cells.

    Each holds the counts of items and relevant items at each distance, APs, codes and perturbation sizes of
    all queries, and the identity of the cell.
    """
    target = folder / QUERIES
    target.mkdir(parents=True, exist_ok=True)
    kept = set()
    for result in results:
        held = arrays(result)
        if held:
            path = target / f"{result.key}.npz"
            identity = np.array(json.dumps(result.identity, sort_keys=True))
            plain = {name: _narrow(array) for name, array in held.items() if name not in MADE_AGAIN}
            with replaced(path) as draft, draft.open("wb") as file:
                np.savez_compressed(file, **{IDENTITY: identity}, **plain)  # type: ignore[arg-type]
            kept.add(path)
    for path in set(target.glob("*.npz")) - kept:
        path.unlink()


@dataclass(frozen=True)
class FolderDigests:
    """The content of digests.json.

    Attributes:
        sha256: of each file, by its name from the folder.
        evidence: the folders that hold what numbers are made from again; none in folders of older versions.
        drawn_with: the versions of what drew the pictures.
        ranking: the version of the ranking, RANKING_VERSION at the time.
    """

    sha256: dict[str, str]
    evidence: tuple[str, ...] = ()
    drawn_with: dict[str, str] = field(default_factory=dict)
    ranking: int = 1


def drawn_with() -> dict[str, str]:
    """The versions here of what draws pictures, hashbench's own among them, which may change their bytes."""
    return {name: version(name) for name in ("matplotlib", "pillow")} | {"pictures": str(PICTURES_VERSION)}


def read_digests(folder: Path) -> FolderDigests:
    """The digests of a leaderboard's folder.

    Raises:
        BadInput: digests.json is missing or has another form.
    """
    return record(read_json(folder / DIGESTS, limit=LARGEST_DIGESTS, inside=folder), FolderDigests, DIGESTS)


def read_arrays(path: Path, inside: Path | None = None) -> Arrays:
    """The arrays of an .npz file that may come from anyone: nothing in it is executed.

    Raises:
        BadInput: it is not an intact .npz file of plain arrays, or holds more than 512 MB.
    """
    return npz_files.read_arrays(path, LARGEST, inside=inside)


def read_identity(arrays: Arrays, name: str) -> dict[str, Any]:
    """The identity of the cell that a file of arrays belongs to.

    Raises:
        BadInput: the file has no readable identity.
    """
    try:
        found = read_json(str(arrays[IDENTITY][()]), name=name)
    except (KeyError, BadInput):
        found = None
    if not isinstance(found, dict):
        raise BadInput(f"{name} does not say which cell it belongs to; write it again with 'hashbench report'")
    return found


def write_digests(folder: Path, before: FolderDigests | None = None) -> None:
    """Write the SHA-256 of each file in a leaderboard's folder; call it last.

    provenance.csv holds times and machines and differs between runs, so its digest has its own file.

    Args:
        before: what digests.json said, for a folder whose tables are of before and stay as they are.
    """
    found = {name: _digest(folder / name) for name in covered(folder)}
    evidence, ranking = (before.evidence, before.ranking) if before else (EVIDENCE, RANKING_VERSION)
    content = {"evidence": evidence, "drawn_with": drawn_with(), "ranking": ranking, "sha256": found}
    _write(folder / DIGESTS, json.dumps(content, indent=1) + "\n")
    if (folder / HOST_TABLE).exists():
        _write(folder / HOST_DIGEST, f"{_digest(folder / HOST_TABLE)}  {HOST_TABLE}\n")


def check_digests(folder: Path) -> list[str]:
    """The differences between the files of a folder and their digests, one line each."""
    try:
        wanted = dict(read_digests(folder).sha256)
        if (folder / HOST_TABLE).exists():
            wanted[HOST_TABLE] = read_text(folder / HOST_DIGEST, 1000, folder).split()[0]
        listing = list_files(folder)
    except (BadInput, IndexError):
        return [f"{DIGESTS} or {HOST_DIGEST} can't be read; write the leaderboard again with 'hashbench report'"]
    problems = [*listing.odd, *(f"{name} is not in {DIGESTS}" for name in covered(folder) if name not in wanted)]
    for name, digest in sorted(wanted.items()):
        shown = printable(name)
        if name not in listing.files:
            problems.append(f"{shown} is missing, but {DIGESTS} lists it")
            continue
        try:
            same = sha256(folder / name, LARGEST, folder) == digest
        except BadInput as error:
            problems.append(str(error))
            continue
        if not same:
            problems.append(f"{shown} was changed after it was written: its SHA-256 is not the one in {DIGESTS}")
    return problems


def covered(folder: Path) -> list[str]:
    """The files of a folder that digests.json covers, by their paths relative to it."""
    names = list_files(folder).files
    apart = (DIGESTS, HOST_TABLE, HOST_DIGEST)
    return sorted(name for name in names if not (name in apart or name.startswith((*ADDED, ".")) or "/." in name))


def _narrow(array: Any) -> Any:
    """Counts in two bytes where they fit."""
    wide = array.dtype.kind == "i" and array.size and array.min() >= 0 and array.max() < 1 << 16
    return array.astype(np.uint16) if wide else array


def _write(path: Path, text: str) -> None:
    with replaced(path) as draft:
        draft.write_text(text)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
