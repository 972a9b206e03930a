"""Certificates beside measured cells: made by `run`, kept in the store, held against every query."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from command import QUICK, Command, rows

from hashbench.boards.certificates import IN_RANKING
from hashbench.boards.query_files import read_arrays, write_digests
from hashbench.boards.ranking import rank
from hashbench.running.store import Store
from hashbench.verification.board import verify_board

pytestmark = pytest.mark.usefixtures("registries")
SUBJECT = (*QUICK, "--bits", "8", "--backbone", "cnn:width=4", "--eps", "0.0002")
ATTACKED = ("run", *SUBJECT, "--attack", "pgd-hamming:steps=2,restarts=1")


def ranking() -> pd.DataFrame:
    (path,) = Path("leaderboards").glob("*/ranking.csv")
    return pd.read_csv(path).set_index("defense")


def board() -> Path:
    (folder,) = Path("leaderboards").iterdir()
    return folder


def certificates() -> list[Path]:
    return sorted(Path("runs/certificates").glob("*/cell.json"))


def test_a_run_certifies_its_models_once_and_shows_it_everywhere(command: Command) -> None:
    outcome = command(*ATTACKED, "--defense", "jpeg", "--attack", "p2p:preset=quick")
    assert outcome.code == 0, outcome.err
    assert "certified: no attack within the budget can go below it" in outcome.out
    assert "no certificate: jpeg: no bounds are known for a network behind a transformation" in outcome.out
    table, found = rows(), ranking()
    bounded = (table.defense == "none") & (table.goal == "untargeted")
    assert table.certified.notna().tolist() == bounded.tolist()
    (value,) = table.certified.dropna().unique()
    assert 0 < value <= table.map_low[bounded].min()
    none = found.loc["none"]
    assert none.certified == value
    assert none.certified_ci_low < value < none.certified_ci_high
    assert 0 < none.free_bits < 8
    assert 0 < none.untouched_share < 1
    assert found.loc["jpeg", list(IN_RANKING)].isna().all()
    assert "no certificate: no bounds are known" in found.loc["jpeg"].note
    assert (board() / "bracket.svg").exists()
    assert len(list((board() / "certificates").glob("*.npz"))) == len(certificates()) == 4
    assert verify_board(board()).problems == []
    stamps = [path.stat().st_mtime_ns for path in certificates()]
    before = (board() / "ranking.csv").read_bytes()
    assert command("report").code == 0
    assert command(*ATTACKED, "--defense", "jpeg", "--attack", "p2p:preset=quick").code == 0
    assert [path.stat().st_mtime_ns for path in certificates()] == stamps
    assert (board() / "ranking.csv").read_bytes() == before


def test_no_certificates_where_none_are_wanted(command: Command) -> None:
    outcome = command(*ATTACKED, "--certify", "no")
    assert outcome.code == 0
    assert "certified" not in outcome.out
    assert certificates() == []
    assert rows().certified.isna().all()
    assert not (board() / "bracket.png").exists()
    assert verify_board(board()).problems == []


@pytest.mark.usefixtures("undrawn")
def test_a_certificate_that_takes_too_long_is_left_out_with_the_reason(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    minutes = SimpleNamespace(perf_counter=itertools.count(0, 60).__next__)
    monkeypatch.setattr("hashbench.running.certificates.time", minutes)
    outcome = command("run", *SUBJECT)
    assert outcome.code == 0
    reason = "no certificate: undefended: it would take longer than the attacks did; make it with 'hashbench certify'"
    assert reason in outcome.out
    assert command("certify", *SUBJECT).code == 0
    assert command("report").code == 0
    assert 0 < ranking().loc["none"].certified < 1


@pytest.mark.usefixtures("undrawn")
def test_workers_certify_too(command: Command) -> None:
    assert command(*ATTACKED, "--workers", "1").code == 0
    assert rows().certified.notna().all()


def spoiled(store: Store, attack: str, change: Callable[[dict[str, np.ndarray]], None]) -> None:
    """Change the arrays of a stored cell."""
    (result,) = (result for result in store.cells() if result.identity["attack"].startswith(attack))
    arrays = store.arrays(result)
    change(arrays)
    store.save_cell(replace(result, arrays_digest=""), arrays)


@pytest.mark.usefixtures("undrawn")
def test_a_query_below_its_certificate_makes_the_cell_invalid(command: Command) -> None:
    assert command(*ATTACKED).code == 0

    def sink(arrays: dict[str, np.ndarray]) -> None:
        arrays["low"][7] = 0.0

    spoiled(Store(Path("runs")), "pgd", sink)
    outcome = command(*ATTACKED)
    assert "query 7: an AP of 0.000000 is below its certificate" in outcome.out
    table = rows().set_index("attack")
    assert table.status.tolist() == ["valid", "invalid"]
    assert np.isnan(table.loc["pgd-hamming:steps=2,restarts=1"].certified)
    assert ranking().loc["none"].status == "invalid"
    assert verify_board(board()).problems == []


@pytest.mark.usefixtures("undrawn")
def test_more_bits_changed_than_can_make_the_cell_invalid(command: Command) -> None:
    assert command(*ATTACKED).code == 0

    def move(arrays: dict[str, np.ndarray]) -> None:
        arrays["bits_moved"][:] = 1.0

    spoiled(Store(Path("runs")), "pgd", move)
    assert "8 bits changed, its certificate allows" in command("report").out


def edit(change: Callable[[dict[str, np.ndarray]], None]) -> None:
    """Change the arrays of a certificate in the leaderboard's folder."""
    (path,) = (board() / "certificates").glob("*.npz")
    arrays = read_arrays(path)
    change(arrays)
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]
    write_digests(board())


@pytest.mark.usefixtures("undrawn")
def test_verify_names_a_query_that_lies_beyond_the_certificate_of_its_model(command: Command) -> None:
    assert command(*ATTACKED).code == 0

    def raised(arrays: dict[str, np.ndarray]) -> None:
        free = np.flatnonzero(arrays["free_bits"] > 0)[0]
        arrays["certified"][free] = 1.0

    edit(raised)
    problems = "\n".join(verify_board(board()).problems)
    assert "none under pgd-hamming:steps=2,restarts=1, seed 0: query" in problems
    assert "is below its certificate, 1.000000" in problems
    assert "ranking.csv: certified of none is" in problems

    def sunk(arrays: dict[str, np.ndarray]) -> None:
        still = np.flatnonzero(arrays["free_bits"] == 0)[0]
        arrays["certified"][still] -= 0.01

    assert command("report").code == 0
    edit(sunk)
    assert "can't be touched, and its AP is not the certified one" in "\n".join(verify_board(board()).problems)
    assert command("report").code == 0
    (path,) = (board() / "certificates").glob("*.npz")
    path.unlink()
    write_digests(board())
    assert "certified of none under none, seed 0 is" in verify_board(board()).problems[0]


@pytest.mark.usefixtures("undrawn")
def test_a_board_of_before_certificates_is_accepted(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(rank.__kwdefaults__ or {}, "clean_counts", False)
    assert command(*ATTACKED, "--certify", "no").code == 0
    for name, columns in (("results", ["certified"]), ("ranking", list(IN_RANKING))):
        table = pd.read_csv(board() / f"{name}.csv", dtype=str, keep_default_na=False)
        table.drop(columns=columns).to_csv(board() / f"{name}.csv", index=False, lineterminator="\n")
    write_digests(board())
    assert verify_board(board()).problems[0].startswith("results.csv lacks the column certified")
    monkeypatch.setattr("hashbench.boards.query_files.EVIDENCE", ("queries", "probes"))
    monkeypatch.setattr("hashbench.boards.query_files.RANKING_VERSION", 1)
    write_digests(board())
    assert verify_board(board()).problems == []
    assert command("page", "leaderboards").code == 0
