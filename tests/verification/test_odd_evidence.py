"""Evidence of forms that no leaderboard has is one line, and the next folder is looked at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hashbench.boards.evidence_files import BrokenRow
from hashbench.cli.verify import _in_any_case
from hashbench.errors import BadInput
from hashbench.readers.folders import sha256
from hashbench.verification.breaks import arrays_of

IMAGES = {"images": np.zeros((2, 1, 8, 8)), "index": np.array([0, 1]), "average_precision": np.array([0.5, 0.6])}


def broken(folder: Path, **changes: np.ndarray) -> BrokenRow:
    """The record of a broken row whose arrays are written beside it."""
    np.savez(folder / "row.npz", **{**IMAGES, **changes})  # type: ignore[arg-type]
    return BrokenRow("cgat", 0, "m" * 16, 0.1, "me", 2, 1, 0.5, 0.4, sha256(folder / "row.npz", 1 << 20))


def test_arrays_of_a_broken_row_come_back(tmp_path: Path) -> None:
    found, path = arrays_of(tmp_path, "row.json", broken(tmp_path))
    assert path.name == "row.npz"
    assert found["index"].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"index": np.array([0.0, 1.0])}, "index does not hold whole numbers"),
        ({"average_precision": np.array([1, 0])}, "average_precision no floating-point ones"),
        ({"index": np.array(3)}, "of the same length"),
        ({"average_precision": np.zeros((2, 2))}, "of the same length"),
        ({"images": np.zeros((3, 1, 8, 8))}, "of the same length"),
    ],
)
def test_arrays_of_other_forms_are_refused(tmp_path: Path, changes: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        arrays_of(tmp_path, "row.json", broken(tmp_path, **changes))


@pytest.mark.parametrize(
    "error", [ValueError("a\nb"), IndexError("3"), KeyError("x"), TypeError("no"), OverflowError()]
)
def test_what_no_reader_foresaw_is_one_line_of_the_folder(error: Exception, tmp_path: Path) -> None:
    def look(folder: Path) -> None:
        raise error

    (line,) = _in_any_case(look, tmp_path).problems  # type: ignore[arg-type]
    assert line.startswith(f"it holds what no leaderboard has, and can't be checked ({type(error).__name__}: ")
    assert "\n" not in line
