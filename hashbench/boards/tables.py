"""Tables as files: at most six decimals, missing values empty, each file written whole or not at all."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pandas as pd

from hashbench.errors import StoreUnusable
from hashbench.readers.text import csv_name, printable
from hashbench.running.shared_files import replaced

DIGITS = 6  # decimals in the files


def plain(value: Any) -> Any:
    """A value as a table shows it: rounded, or as JSON.

    >>> plain(0.12345678), plain({"b": 1, "a": 2}), plain("cgat")
    (0.123457, '{"a": 2, "b": 1}', 'cgat')
    """
    if isinstance(value, Mapping):
        return json.dumps(value, sort_keys=True)
    return round(value, DIGITS) if isinstance(value, float) else value


def rounded(rows: Iterable[Any], columns: Sequence[str]) -> pd.DataFrame:
    """A table of rows, given as mappings or in the order of the columns, with plain values."""
    whole = [
        {name: row.get(name) for name in columns} if isinstance(row, Mapping) else dict(zip(columns, row, strict=True))
        for row in rows
    ]
    plainly = [{name: plain(value) for name, value in row.items()} for row in whole]
    return pd.DataFrame(plainly, columns=list(columns), dtype=object)


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Create a folder, and run a block that writes into it.

    Raises:
        StoreUnusable: the folder can't be created or written.
    """
    with _refused(folder):
        folder.mkdir(parents=True, exist_ok=True)
        yield


def check_writable(out: Path) -> None:
    """Check that the folder for leaderboards can be written, before anything is trained; it is not made yet.

    Raises:
        StoreUnusable: it can't be written.
    """
    with _refused(out), tempfile.TemporaryFile(dir=next(path for path in (out, *out.parents) if _there(path))):
        pass


def _there(path: Path) -> bool:
    with suppress(FileNotFoundError):
        path.lstat()
        return True
    return False


@contextmanager
def _refused(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreUnusable(
            f"can't write {printable(str(folder))} ({error.strerror}); choose another folder with --out"
        ) from None


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table as CSV, replacing an earlier one; no spreadsheet takes a name in it for a formula."""
    harmless = {
        csv_name(str(name)): pd.Series([csv_name(v) if isinstance(v, str) else v for v in column], dtype=object)
        for name, column in table.items()
    }
    with replaced(path) as draft:
        pd.DataFrame(harmless, dtype=object).to_csv(draft, index=False, lineterminator="\n")
