"""Migration of leaderboards whose keys were digests of code: the same digits under keys made of versions."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hashbench.boards.files import Row, read_rows
from hashbench.boards.leaderboard import COLUMNS
from hashbench.boards.query_files import (
    HOST_TABLE,
    IDENTITY,
    QUERIES,
    read_arrays,
    read_digests,
    read_identity,
    write_digests,
)
from hashbench.boards.tables import writing
from hashbench.running.cell import cell_key
from hashbench.running.migration import versioned
from hashbench.running.shared_files import replaced

DROPPED = ("constant_map",)  # columns that duplicated another one


def migrate_board(folder: Path) -> int:
    """Rewrite a leaderboard's keys and add its versions; returns how many rows were carried over.

    All other columns of results.csv keep their text. A row without a per-query file keeps its old key.

    Raises:
        BadInput: a table or a per-query file is damaged.
        StoreUnusable: the folder can't be written.
    """
    rows = read_rows(folder / "results.csv")
    if "versions" in rows[0]:
        return 0
    keys: dict[str, str] = {}
    with writing(folder):
        for row in rows:
            row["versions"] = "{}"
            path = folder / QUERIES / f"{row['config_digest']}.npz"
            if path.is_file():
                arrays = read_arrays(path)
                identity = versioned(read_identity(arrays, path.name), row["config_digest"])
                keys[row["config_digest"]] = key = cell_key(identity)
                row["versions"] = json.dumps(identity["versions"], sort_keys=True)
                _save_arrays(path.with_name(f"{key}.npz"), {**arrays, IDENTITY: _text(identity)})
        _write_table(folder / "results.csv", [_with_key(row, keys) for row in rows], COLUMNS)
        hosts = read_rows(folder / HOST_TABLE)
        _write_table(folder / HOST_TABLE, [_with_key(host, keys) for host in hosts], list(hosts[0]))
        ranking = folder / "ranking.csv"
        if ranking.is_file():
            found = read_rows(ranking)
            _write_table(ranking, found, [name for name in found[0] if name not in DROPPED])
        for old in keys:
            (folder / QUERIES / f"{old}.npz").unlink(missing_ok=True)
        write_digests(folder, read_digests(folder))
    return len(keys)


def _with_key(row: Row, keys: dict[str, str]) -> Row:
    return {**row, "config_digest": keys.get(row["config_digest"], row["config_digest"])}


def _text(identity: dict[str, Any]) -> np.ndarray[Any, Any]:
    return np.array(json.dumps(identity, sort_keys=True))


def _save_arrays(path: Path, arrays: dict[str, Any]) -> None:
    with replaced(path) as draft, draft.open("wb") as file:
        np.savez_compressed(file, **arrays)


def _write_table(path: Path, rows: Sequence[Row], columns: Sequence[str]) -> None:
    with replaced(path) as draft, draft.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(columns), extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
