"""Leaderboards put back into a store: a run goes on from them, with the same bytes, and nothing is computed again."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from command import SMALL_MODEL, Command, make_probes_small

import hashbench as hb
from hashbench.api import restore
from hashbench.api.restore import restore_board
from hashbench.boards import files
from hashbench.boards.query_files import read_arrays
from hashbench.running import certificates
from hashbench.running.store import Store

pytestmark = pytest.mark.usefixtures("registries", "small_probes", "undrawn")

CGAT, NAME = "cgat:epochs=1,steps=1", "digits-cnn-width-8-csq-32bit-clean-epochs-1-linf-32-255"
ATTACKS = ("noise", "pgd-hamming:steps=3,restarts=1", "dhta:steps=2")


@pytest.fixture
def small_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Probes as small as those of the board."""
    make_probes_small(monkeypatch)


def measured(folder: Path, defenses: Sequence[str] = (CGAT, "median")) -> Path:
    """The leaderboard of a small run in a folder with a store."""
    board = hb.run(
        "digits", list(defenses), list(ATTACKS), **SMALL_MODEL, device="cpu", store=folder / "runs",
        out=folder / "leaderboards", keep_models=True,
    )  # fmt: skip
    assert board.folder is not None
    return board.folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small leaderboard's folder, in one with its store."""
    with pytest.MonkeyPatch.context() as patched:
        make_probes_small(patched)
        return measured(tmp_path_factory.mktemp("made"))


def rows_of(path: Path) -> dict[str, dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return {row["config_digest"]: row for row in csv.DictReader(file)}


def test_a_run_goes_on_from_a_restored_board_and_measures_only_what_is_new(made: Path, tmp_path: Path) -> None:
    found = restore_board(made, Store(tmp_path / "runs"))
    assert (found.cells, found.probes, found.certificates, found.models) == (14, 3, 6, 2)
    assert found.left_out == ()
    joined = measured(tmp_path, (CGAT, "median", "bit-depth"))
    for table in ("results.csv", "provenance.csv"):
        before, now = rows_of(made / table), rows_of(joined / table)
        assert len(now) == 20
        assert {key: row for key, row in now.items() if key in before} == before
    for folder in ("queries", "probes", "certificates"):
        for path in (made / folder).iterdir():
            assert (joined / folder / path.name).read_bytes() == path.read_bytes(), path.name


def test_a_restored_cell_has_the_arrays_and_numbers_of_the_one_that_was_measured(made: Path, tmp_path: Path) -> None:
    store, first = Store(tmp_path / "runs"), Store(made.parents[1] / "runs")
    restore_board(made, store)
    for result in store.cells():
        own = first.cell(result.key)
        assert own is not None
        assert result.host == own.host | {"command": result.host["command"]}
        assert result.numbers == pytest.approx(own.numbers, abs=1e-6)
        arrays, wanted = store.arrays(result), first.arrays(own)
        assert arrays.keys() == wanted.keys()
        for name, array in arrays.items():
            assert array.dtype == wanted[name].dtype
            assert array.tobytes() == wanted[name].tobytes()


def test_what_the_store_has_stays(made: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "runs")
    restore_board(made, store)
    stamps = {path: path.stat().st_mtime_ns for path in store.root.rglob("*.npz")}
    found = restore_board(made, store)
    assert (found.cells, found.probes, found.certificates, found.models) == (0, 0, 0, 0)
    assert {path: path.stat().st_mtime_ns for path in store.root.rglob("*.npz")} == stamps


def test_an_edited_board_leaves_the_store_empty(made: Path, tmp_path: Path, command: Command) -> None:
    board = Path(shutil.copytree(made, tmp_path / NAME))
    text = (board / "results.csv").read_text()
    (board / "results.csv").write_text(text.replace("adaptive", "oblivious", 1))
    ended = command("restore", board, "--store", tmp_path / "runs")
    assert ended.code == 2
    assert f"error: {board} is not restored: results.csv was changed after it was written" in ended.err
    assert not list((tmp_path / "runs" / "cells").iterdir())


def test_a_row_of_a_model_with_changing_answers_is_left_out(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = files.read_rows

    def flagged(path: Path) -> list[dict[str, str]]:
        return [row | {"flags": "stateful"} if row["defense"] == "median" else row for row in plain(path)]

    monkeypatch.setattr(restore, "read_rows", flagged)
    found = restore_board(made, Store(tmp_path / "runs"))
    assert (found.cells, found.probes, found.certificates) == (8, 2, 4)
    assert found.left_out == ("median is stateful; run it again",)


def test_parts_of_older_versions_are_left_out(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hashbench.running.probes.PROBE_VERSION", 99)
    monkeypatch.setattr(certificates, "CERTIFICATE_VERSION", 99)
    found = restore_board(made, Store(tmp_path / "runs"))
    assert (found.cells, found.probes, found.certificates) == (14, 0, 0)
    assert sum("the probe " in line and "of an older version" in line for line in found.left_out) == 3
    assert sum("the certificate " in line and "of an older version" in line for line in found.left_out) == 6


def test_a_certificate_left_out_for_want_of_time_is_made_by_a_run_that_has_it(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (reason,) = {
        result.reason
        for result in map(Store(made.parents[1] / "runs").certificate, (path.stem for path in certificates_of(made)))
        if result is not None and result.reason and result.identity["defense"] == "median"
    }
    monkeypatch.setattr(restore, "TOO_LONG", reason)
    store = Store(tmp_path / "runs")
    restore_board(made, store)
    limits = {
        result.identity["defense"]: result.host.get(certificates.LIMIT)
        for result in map(store.certificate, (path.stem for path in certificates_of(made)))
        if result is not None
    }
    assert limits == {"none": None, CGAT: None, "median": 0.0}


def certificates_of(board: Path) -> list[Path]:
    assert read_arrays(next((board / "certificates").iterdir()))
    return sorted((board / "certificates").iterdir())


def test_the_command_says_what_it_restored_and_refuses_other_folders(
    made: Path, tmp_path: Path, command: Command
) -> None:
    ended = command("restore", made.parent, "--store", tmp_path / "runs")
    assert ended.code == 0
    assert ended.out == f"{made}: 14 cells, 3 probes, 6 certificates and 2 models restored\n"
    (tmp_path / "empty").mkdir()
    ended = command("restore", tmp_path / "empty", "--store", tmp_path / "runs")
    assert (ended.code, ended.out) == (2, "")
    assert "holds no results.csv; name a leaderboard's folder or a folder of leaderboards" in ended.err
