"""Published rows as models: loaded by name, attacked by something new, lowered by images that others made."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np

import hashbench
from hashbench.api.arguments import naming_arguments, path_of, word_of
from hashbench.api.checks import reproducible
from hashbench.api.measure import open_store
from hashbench.api.progress import progress_shown
from hashbench.boards.evidence_files import BrokenRow
from hashbench.errors import BadInput, BadParameter
from hashbench.metrics.average_precision import Values
from hashbench.models.arrays import whole_of
from hashbench.models.data import RetrievalSplit
from hashbench.models.model import HashModel
from hashbench.readers.text import printable
from hashbench.registry.short_labels import defense_name
from hashbench.running.cell import Cell
from hashbench.running.checkpoints import Checkpoints
from hashbench.running.request import load_once
from hashbench.running.runner import choose_device
from hashbench.running.store import Result, Store
from hashbench.running.victims import DefendedModel, Victims
from hashbench.seeds import seeded
from hashbench.verification.breaks import CREDIT, audit, lowered, read_images, worst_of, write_break
from hashbench.verification.rerun import cell_of, load_defended
from hashbench.verification.rows import find_row, read_cells
from hashbench.verification.zoo import ZOO, fill_store

BOARDS = Path("leaderboards")


@naming_arguments
def load_model(
    row: str,
    seed: int = 0,
    *,
    boards: str | Path | None = None,
    store: str | Path | None = None,
    device: str = "cpu",
) -> HashModel:
    """The network of a published row, in eval mode, with its weights checked by their digest.

    Args:
        row: DATASET/DEFENSE, such as digits/cgat; the defense as in the tables, or without its parameters where
            the data set has only one such label.
        seed: of the row.
        boards: a leaderboard's folder or a folder of several; by default `leaderboards`, here or beside the package.
        store: where to look for weights that are not beside the leaderboard.
        device: where the model is put.

    Raises:
        UnknownName: there is no such row, or the name could mean several.
        BadInput: its weights are neither in the leaderboard's zoo nor in the store, or are others.

    >>> import hashbench, tempfile
    >>> try:
    ...     hashbench.load_model("cgat", boards=tempfile.mkdtemp())
    ... except hashbench.HashbenchError as error:
    ...     print(error)
    'cgat' names no row; write DATASET/DEFENSE, such as digits/cgat
    """
    folder, (result, _) = find_row(word_of(row, "row"), whole_of(seed, "seed"), boards_folder(boards))
    with published_model(folder, result, None if store is None else path_of(store, "store"), device) as (_, model, _):
        return model.victim.model


def boards_folder(given: str | Path | None) -> Path:
    """The folder of leaderboards that is meant.

    Raises:
        BadInput: there is none.
    """
    beside = Path(str(hashbench.__file__)).parents[1] / BOARDS
    for place in (path_of(given, "boards"),) if given is not None else (BOARDS, beside):
        if place.is_dir():
            return place
    raise BadInput(f"there is no folder {given or BOARDS}; name a leaderboard's folder, or a folder of several")


@contextmanager
def published_model(
    folder: Path, result: Result, store: Path | None, device: str
) -> Iterator[tuple[Cell, DefendedModel, RetrievalSplit]]:
    """The cell, the model and the data of a row, from its leaderboard's zoo or else from a store.

    Raises:
        BadInput: its weights are in neither, or are others than the row names.
        UsageError: its defense, its data or another name is not available here.
    """
    chosen = choose_device(word_of(device, "device"))
    own = None if store is None or not (store / "cells").is_dir() else open_store(store, lambda line: None)
    with tempfile.TemporaryDirectory() as place, seeded(0), reproducible(chosen):
        kept = Store(Path(place))
        fill_store(folder, [result.identity], kept, own)
        victims = Victims(Checkpoints(kept), chosen)
        cell = cell_of(result.identity, load_once())
        if not list((kept.root / "models").iterdir()):
            who = f"{defense_name(result.identity['defense'])}, seed {result.identity['seed']}"
            raise BadInput(
                f"{who}: its weights are not in {folder / ZOO}; "
                "name a store that has them, or write them with 'hashbench report --keep-models'"
            )
        yield cell, load_defended(cell, result.numbers, victims, "name a store that has it"), victims.split(cell)


@naming_arguments
def break_row(
    row: str, images: str | Path, by: str, seed: int = 0, *, boards: str | Path | None = None,
    store: str | Path | None = None, device: str = "auto",
) -> tuple[BrokenRow, Path | None]:  # fmt: skip
    """Audit adversarial images made elsewhere, and say by how much they lower a row.

    If they lower a query, they are written beside the leaderboard's tables, with credit; the tables stay as they are.

    Args:
        row, seed, boards, store: as of `load_model`.
        images: an .npz file with `images`, [n, channels, height, width] of floats in [0, 1] or of bytes, and `index`,
            [n] positions in the query set, which may be left out if there is an image for each query.
        by: who is to be credited.
        device: where the model is run.

    Returns:
        What was found, and the path of its record; None if no query is lowered.

    Raises:
        ThreatViolation: an image leaves the row's budget or [0, 1].
        BadInput: the file has another form, or the row's weights are not to be had.
        BadParameter: `by` is empty, too long or not plain.
        UnknownName: there is no such row.

    >>> import hashbench
    >>> try:
    ...     hashbench.break_row("digits/cgat", "images.npz", by="")
    ... except hashbench.HashbenchError as error:
    ...     print(error)
    say who made the images, in at most 300 plain characters
    """
    if not word_of(by, "by").strip() or printable(by, CREDIT) != by:
        raise BadParameter(f"say who made the images, in at most {CREDIT} plain characters")
    folder, (result, _) = find_row(word_of(row, "row"), whole_of(seed, "seed"), boards_folder(boards))
    with (
        progress_shown(),
        published_model(folder, result, None if store is None else path_of(store, "store"), device) as found,
    ):
        cell, model, split = found
        crafted, index = read_images(path_of(images, "images"), split.queries)
        precisions = audit(crafted, index, split.queries, model.victim, cell.threat)
    label = str(result.identity["defense"])
    worst = worst_of(read_cells(folder), label, seed)
    after, count = lowered(worst, index.numpy(), precisions)
    facts = BrokenRow(
        label, seed, str(result.numbers["model_digest"]), cell.threat.eps, by.strip(), len(index), count,
        _mean(worst), _mean(after), created_utc=datetime.now(UTC).isoformat(timespec="seconds"),
        package_version=version("hashbench"),
    )  # fmt: skip
    return facts, write_break(folder, crafted, index, precisions, facts) if count else None


def _mean(values: Values) -> float:
    return float(values[~np.isnan(values)].mean())
