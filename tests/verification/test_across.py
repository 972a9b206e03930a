"""`verify` makes what boards say side by side again: one number, one picture or one file more is found."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from compared_boards import compared_board

from hashbench.boards.across.write import ACROSS, write_across
from hashbench.boards.files import read_boards
from hashbench.boards.query_files import FolderDigests, read_digests, write_digests
from hashbench.verification.side_by_side.across import check_across

PICTURE = "lengths-digits-cnn-csq-16-32bit-linf-32-255"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("made")
    random = np.random.default_rng(0)
    for dataset, bits in (("digits", 16), ("digits", 32), ("emoji", 32)):
        values = {name: random.uniform(0.2, 0.8, (2, 20)) for name in ("cgat", "lap")}
        compared_board(out, values, dataset=dataset, bits=bits)
    write_across(out, read_boards(out))
    return out


@pytest.fixture
def out(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "boards"))


def problems(out: Path, *, digests: bool = True) -> str:
    """What is found, with digests that fit, as a forger would write them."""
    if digests:
        write_digests(out / ACROSS, FolderDigests({}, ranking=read_digests(out / ACROSS).ranking))
    return "\n".join(check_across(out).problems)


def test_what_was_written_is_accepted(out: Path) -> None:
    assert problems(out, digests=False) == ""
    assert check_across(out).notes == []


@pytest.mark.parametrize(
    ("table", "column", "value", "wanted"),
    [
        ("ranks.csv", "rank", 2.0, "ranks.csv: rank of"),
        ("ranks.csv", "first_share", 0.123, "ranks.csv: first_share of"),
        ("first.csv", "mean_rank", 1.1, "first.csv: mean_rank of"),
        ("first.csv", "first_both", 0.999, "first.csv: first_both of"),
    ],
)
def test_an_edited_number_is_named(out: Path, table: str, column: str, value: float, wanted: str) -> None:
    path = out / ACROSS / table
    rows = pd.read_csv(path)
    rows.loc[0, column] = value
    rows.to_csv(path, index=False)
    assert "was changed after it was written" in problems(out, digests=False)
    assert wanted in problems(out)


def test_rows_files_and_pictures_that_do_not_follow_are_named(out: Path) -> None:
    folder = out / ACROSS
    rows = pd.read_csv(folder / "first.csv")
    rows.iloc[::-1].to_csv(folder / "first.csv", index=False)
    assert "first.csv has its rows in another order" in problems(out)
    rows.to_csv(folder / "first.csv", index=False)
    (folder / f"{PICTURE}.svg").write_text("<svg/>")
    assert problems(out) == f"{PICTURE}.svg is not what the boards give; write it with 'hashbench page'"
    (folder / f"{PICTURE}.png").unlink()
    (folder / "best.png").write_bytes(b"a picture")
    assert problems(out).splitlines() == [f"{PICTURE}.png is missing", "best.png does not follow from any board"]
    shutil.move(folder, out / "elsewhere")
    folder.symlink_to(out / "elsewhere")
    assert "across is a link" in "\n".join(check_across(out).problems)


def test_a_board_that_is_gone_changes_what_is_said(out: Path) -> None:
    shutil.rmtree(out / "emoji-csq-32-linf-white")
    assert "of which there are no cells" in problems(out)
