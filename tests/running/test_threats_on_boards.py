"""Boards of other threats than l-inf: measured, written, verified, and never in one ranking with each other."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from command import QUICK, Outcome, registries_restored, work_in

THREATS = {
    "linf": ("--attack", "pgd-hamming:steps=2,restarts=1"),
    "l2": ("--norm", "l2", "--attack", "pgd-hamming:steps=2,restarts=1"),
    "patch-3": ("--patch", "3", "--attack", "patch-hamming:epochs=1,places=2"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One store and one folder of boards for all three."""
    return tmp_path_factory.mktemp("threats")


@pytest.fixture(scope="module")
def outcomes(folder: Path) -> dict[str, Outcome]:
    """The three runs."""
    with registries_restored():
        return {norm: work_in(folder, "run", *QUICK, "--attack", "noise", *words) for norm, words in THREATS.items()}


@pytest.mark.parametrize("norm", THREATS)
def test_a_run_writes_a_board_of_its_own_that_verify_accepts(
    outcomes: dict[str, Outcome], folder: Path, norm: str
) -> None:
    assert outcomes[norm].code == 0, outcomes[norm].err
    (board,) = (path for path in (folder / "leaderboards").iterdir() if norm in path.name)
    results = pd.read_csv(board / "results.csv")
    assert set(results["norm"]) == {norm}
    assert set(results["status"]) == {"valid"}
    verified = work_in(folder, "verify", board, "--rerun", "3", "--store", "runs")
    assert verified.code == 0, verified.out + verified.err


def test_the_undefended_model_is_trained_once_for_all_threats(outcomes: dict[str, Outcome]) -> None:
    trainings = [outcomes[norm].log.count("done: training the model") for norm in THREATS]
    assert trainings == [1, 0, 0]


def test_a_forged_patch_is_refused(outcomes: dict[str, Outcome], folder: Path) -> None:
    """A row that says it used a smaller patch than it did."""
    assert outcomes["patch-3"].code == 0
    (board,) = (path for path in (folder / "leaderboards").iterdir() if "patch-3" in path.name)
    for name in ("results.csv", "ranking.csv"):
        text = (board / name).read_text()
        (board / name).write_text(text.replace("patch-3", "patch-2"))
    refused = work_in(folder, "verify", board)
    assert refused.code == 1
    assert "is patch-2; its cells give patch-3" in refused.out
