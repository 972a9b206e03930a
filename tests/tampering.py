"""Edits of a leaderboard's folder that `verify` must find."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from hashbench.boards.query_files import read_arrays

Spoil = Callable[[Path], None]


def change(column: str, value: str, rows: slice = slice(2, 3), table: str = "results.csv") -> Spoil:
    """Put a value into some rows of a table."""

    def spoil(folder: Path) -> None:
        found = pd.read_csv(folder / table, dtype=str, keep_default_na=False)
        found.loc[found.index[rows], column] = value
        found.to_csv(folder / table, index=False, lineterminator="\n")

    return spoil


def files(folder: Path) -> list[Path]:
    """The per-query files, in the order of results.csv."""
    keys = pd.read_csv(folder / "results.csv")["config_digest"]
    return [folder / "queries" / f"{key}.npz" for key in keys]


def arrays(name: str, change: Callable[[np.ndarray], np.ndarray], row: int = 2) -> Spoil:
    """Change an array of a per-query file."""

    def spoil(folder: Path) -> None:
        held = read_arrays(files(folder)[row])
        held[name] = change(held[name].copy())
        np.savez_compressed(files(folder)[row], **held)  # type: ignore[arg-type]

    return spoil


def harder_attack(folder: Path) -> None:
    """Say of a cell that its attack took more steps."""
    held = read_arrays(files(folder)[2])
    identity = json.loads(str(held["identity"]))
    identity["attack_params"] |= {"steps": 1000}
    np.savez_compressed(files(folder)[2], **{**held, "identity": np.array(json.dumps(identity))})  # type: ignore[arg-type]


def set_first(value: float) -> Callable[[np.ndarray], np.ndarray]:
    def change(array: np.ndarray) -> np.ndarray:
        array[0] = value
        return array

    return change


def fewer_queries(folder: Path) -> None:
    """Leave out the last query of one cell."""
    held = read_arrays(files(folder)[2])
    queries = len(held["average_precision"])
    cut = {name: array[:-1] if len(array.shape) and len(array) == queries else array for name, array in held.items()}
    np.savez_compressed(files(folder)[2], **cut)  # type: ignore[arg-type]


def other_places(folder: Path) -> None:
    """Say of a probe that it is of the first queries."""
    path = sorted((folder / "probes").iterdir())[0]
    held = read_arrays(path)
    held["rows"] = np.arange(len(held["rows"]))
    np.savez_compressed(path, **held)  # type: ignore[arg-type]


def swap(folder: Path) -> None:
    one, other = files(folder)[:2]
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)


def truncate(folder: Path) -> None:
    path = files(folder)[2]
    path.write_bytes(path.read_bytes()[:-200])


def repeat_row(folder: Path) -> None:
    lines = (folder / "results.csv").read_text().splitlines(keepends=True)
    (folder / "results.csv").write_text("".join([*lines, lines[2]]))


def drop_row(folder: Path) -> None:
    lines = (folder / "results.csv").read_text().splitlines(keepends=True)
    (folder / "results.csv").write_text("".join(lines[:-1]))


class Trap:
    """Leaves a mark if it is ever unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.mark,)


def objects(folder: Path) -> None:
    held = read_arrays(files(folder)[2])
    trap = np.array([Trap(folder.parent / "sprung")], dtype=object)
    np.savez_compressed(files(folder)[2], **{**held, "l2": trap})  # type: ignore[arg-type]


def bare_pickle(folder: Path) -> None:
    files(folder)[2].write_bytes(pickle.dumps(Trap(folder.parent / "sprung")))
