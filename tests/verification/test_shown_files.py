"""Everything that a board shows, edited by someone who redoes the digests: named, or said to be taken on trust."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command import Command
from fuzz.sandbox import make_store

from hashbench.boards.files import NEEDED
from hashbench.boards.query_files import DIGESTS, read_arrays, write_digests

Spoil = Callable[[Path], None]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small store, its board and a page."""
    before, folder = Path.cwd(), tmp_path_factory.mktemp("made")
    try:
        make_store(folder)
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def board(made: Path, command: Command) -> Path:
    """A copy of the board, below the current folder; `command` has made that one for the test alone."""
    shutil.copytree(made / "leaderboards", "leaderboards")
    (folder,) = Path("leaderboards").iterdir()
    return folder


def edited(table: str, column: str, value: str) -> Spoil:
    """Put a value into the first row of a table that has another one there."""

    def spoil(folder: Path) -> None:
        found = pd.read_csv(folder / table, dtype=str, keep_default_na=False)
        assert found.loc[0, column] != value
        found.loc[0, column] = value
        found.to_csv(folder / table, index=False, lineterminator="\n")

    return spoil


def without_row(table: str) -> Spoil:
    def spoil(folder: Path) -> None:
        lines = (folder / table).read_text().splitlines(keepends=True)
        (folder / table).write_text("".join([lines[0], *lines[2:]]))

    return spoil


def without_column(table: str, column: str) -> Spoil:
    def spoil(folder: Path) -> None:
        pd.read_csv(folder / table, dtype=str, keep_default_na=False).drop(columns=column).to_csv(
            folder / table, index=False, lineterminator="\n"
        )

    return spoil


def deleted(pattern: str) -> Spoil:
    def spoil(folder: Path) -> None:
        for path in folder.glob(pattern):
            path.unlink()

    return spoil


def probes_edited(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Spoil:
    def spoil(folder: Path) -> None:
        for path in (folder / "probes").iterdir():
            held = dict(read_arrays(path))
            held[name] = change(held[name])
            np.savez_compressed(path, **held)  # type: ignore[arg-type]

    return spoil


def piped(name: str) -> Spoil:
    def spoil(folder: Path) -> None:
        (folder / name).unlink()
        os.mkfifo(folder / name)

    return spoil


def linked(name: str, target: str) -> Spoil:
    def spoil(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).symlink_to(target)

    return spoil


def text(name: str, content: str) -> Spoil:
    def spoil(folder: Path) -> None:
        (folder / name).write_text(content)

    return spoil


CASES: dict[str, tuple[Spoil, str]] = {
    "sanity-deleted": (deleted("sanity.csv"), "sanity.csv is not there"),
    "sanity-number": (edited("sanity.csv", "map_white_box", "0.123456"), "sanity.csv: map_white_box of"),
    "sanity-flag": (edited("sanity.csv", "flags", "saturated"), "sanity.csv: flags of"),
    "sanity-row": (without_row("sanity.csv"), "sanity.csv lacks"),
    "sanity-column": (without_column("sanity.csv", "map_noise"), "sanity.csv has other columns"),
    "sanity-text": (edited("sanity.csv", "seed", "zero"), "sanity.csv, line 2: seed is 'zero'"),
    "curve-deleted": (deleted("curve.csv"), "curve.csv is not there"),
    "curve-number": (edited("curve.csv", "map", "0.123456"), "curve.csv: map of"),
    "curve-interval": (edited("curve.csv", "ci_high", "0.999999"), "curve.csv: ci_high of"),
    "curve-row": (without_row("curve.csv"), "curve.csv lacks"),
    "curve-infinite": (edited("curve.csv", "map", "inf"), "curve.csv, line 2: map is 'inf'"),
    "probes-deleted": (deleted("probes/*"), "probes has none of"),
    "probes-clean": (probes_edited("clean", lambda a: np.ones_like(a) * 0.5), "clean is not that of the same queries"),
    "probes-range": (probes_edited("one_step", lambda a: a + 2), "one_step holds values outside of 0 to 1"),
    "probes-shape": (probes_edited("noise", lambda a: a[:-1]), "noise is missing or has another shape"),
    "probes-budgets": (probes_edited("budgets", lambda a: a / 2), "its budgets are not those of l-inf eps"),
    "probes-nan": (probes_edited("gentle", lambda a: a * np.nan), "gentle holds values outside of 0 to 1"),
    "ranking-deleted": (deleted("ranking.csv"), "ranking.csv is not there"),
    "ranking-status": (edited("ranking.csv", "status", "ranked"), "ranking.csv: status of"),
    "ranking-rank": (edited("ranking.csv", "rank", "1"), "ranking.csv: rank of"),
    "matrix-deleted": (deleted("matrix.csv"), "matrix.csv is not there"),
    "provenance-deleted": (deleted("provenance.csv"), "provenance.csv"),
    "provenance-cell": (edited("provenance.csv", "config_digest", "f" * 16), "does not have the same cells"),
    "provenance-row": (without_row("provenance.csv"), "does not have the same cells"),
    "provenance-column": (without_column("provenance.csv", "attack_seconds"), "provenance.csv has other columns"),
    "provenance-text": (edited("provenance.csv", "attack_seconds", "soon"), "attack_seconds is 'soon'"),
    "provenance-negative": (edited("provenance.csv", "attack_seconds", "-1"), "attack_seconds is '-1'"),
    "results-map": (edited("results.csv", "map", "0.99"), "results.csv: map of"),
    "results-text": (edited("results.csv", "map", "high"), "map is 'high'"),
    "results-eps-nan": (edited("results.csv", "eps", "nan"), "eps is 'nan'"),
    "results-key-upwards": (edited("results.csv", "config_digest", "../../x"), "config_digest is '../../x'"),
    "results-formula": (edited("results.csv", "reason", "=cmd|' /c calc'!A1"), "a spreadsheet takes for a formula"),
    "results-forged-version": (
        edited("results.csv", "protocol_version", "1\n/elsewhere: verified, 9 cells recomputed"),
        r"protocol_version 1\x0a/elsewhere: verified",
    ),
    "results-pipe": (piped("results.csv"), "results.csv is a named pipe"),
    "results-endless": (linked("results.csv", "/dev/zero"), "results.csv is a link"),
    "results-empty": (text("results.csv", ""), "results.csv is empty"),
    "results-header-only": (text("results.csv", ",".join(NEEDED) + "\n"), "results.csv has no rows"),
    "sanity-pipe": (piped("sanity.csv"), "sanity.csv is a named pipe"),
    "digests-endless": (linked(DIGESTS, "/dev/zero"), "digests.json or provenance.sha256 can't be read"),
    "digests-nested": (text(DIGESTS, "[" * 5000), "digests.json or provenance.sha256 can't be read"),
    "queries-endless": (linked("provenance.sha256", "/dev/zero"), "can't be read"),
    "more": (text("more.html", "<script>"), "more.html is not in digests.json"),
}  # fmt: skip
UNSIGNED = ("digests-endless", "digests-nested", "queries-endless", "more", "results-pipe", "results-endless",
            "sanity-pipe")  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_each_edit_is_named_in_one_verdict(name: str, board: Path, command: Command) -> None:
    spoil, message = CASES[name]
    spoil(board)
    if name not in UNSIGNED:
        write_digests(board)
    outcome = command("verify", "leaderboards")
    assert (outcome.code, outcome.err) == (1, "")
    lines = outcome.out.splitlines()
    assert all(line.isprintable() for line in lines)
    assert any(message in line for line in lines), outcome.out
    verdicts = [line for line in lines if not line.startswith("  ")]
    assert len(verdicts) == 2
    assert verdicts[0].startswith(f"{board}: REFUSED")


def test_pictures_and_the_page_are_made_again_and_compared(board: Path, command: Command) -> None:
    assert command("page", "leaderboards").code == 0
    for name in ("matrix.png", "curve.svg"):
        (board / name).write_bytes((board / name).read_bytes().replace(b"3", b"8"))
    (board / "tradeoff.svg").unlink()
    (board / "best.png").write_bytes((board / "curve.png").read_bytes())
    write_digests(board)
    page = Path("leaderboards/index.html")
    page.write_text(page.read_text().replace("bit-depth", "best-depth"))
    outcome = command("verify", "leaderboards")
    assert outcome.code == 1
    for message in (
        "matrix.png is not what its tables give", "curve.svg is not what its tables give", "tradeoff.svg is missing",
        "best.png is no picture of a board", "leaderboards/index.html: REFUSED",
    ):  # fmt: skip
        assert message in outcome.out, outcome.out


def test_what_can_t_be_checked_is_said_in_one_line_on_each_call(board: Path, command: Command) -> None:
    rows = pd.read_csv(board / "results.csv")
    for path in (board / "queries" / f"{key}.npz" for key in rows.config_digest):
        held = dict(read_arrays(path))
        held["codes"] = held["codes"][[1, 0, *range(2, len(held["codes"]))]]
        np.savez_compressed(path, **held)  # type: ignore[arg-type]
    edited("provenance.csv", "platform", "a better machine")(board)
    write_digests(board)
    outcome = command("verify", "leaderboards")
    assert outcome.code == 0, outcome.out
    (line,) = (line for line in outcome.out.splitlines() if line.startswith("taken on trust"))
    assert "which codes and moves queries had" in line
    assert "what provenance.csv says" in line


def test_a_board_that_claims_to_be_older_than_probes_is_said_to_be_unchecked(board: Path, command: Command) -> None:
    shutil.rmtree(board / "probes")
    edited("sanity.csv", "map_white_box", "0.123456")(board)
    write_digests(board)
    digests = json.loads((board / DIGESTS).read_text())
    (board / DIGESTS).write_text(json.dumps({**digests, "evidence": []}))
    outcome = command("verify", "leaderboards")
    assert "note: it was made before the evidence of probes was kept, or that was taken out" in outcome.out
