"""Options for workers that can't be used."""

from __future__ import annotations

import pytest
from command import QUICK, Command, hashbench


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--workers", "2", "--scheduler", "tcp://127.0.0.1:9"), "--workers and --scheduler exclude each other"),
        (("--workers", "0"), "0 is out of range; give a whole number of at least 1"),
        (("--threads", "0"), "0 is out of range; give a whole number of at least 1"),
        (("--zoo", "nowhere"), "--zoo=nowhere is no folder; give one with leaderboards, or leave it out"),
    ],
)
def test_wrong_words_about_workers_are_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], message: str
) -> None:
    outcome = hashbench(capsys, monkeypatch, "run", *QUICK, *words)
    assert outcome.code == 2
    assert outcome.err.startswith("error: ")
    assert outcome.err.count("\n") == 1
    assert message in outcome.err


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("tcp://127.0.0.1:9", "no scheduler answers at tcp://127.0.0.1:9; start one with 'dask scheduler'"),
        ("nowhere", "can't read --scheduler=nowhere; write an address such as tcp://host:8786"),
    ],
)
def test_a_scheduler_that_is_not_there_is_one_line(
    command: Command, monkeypatch: pytest.MonkeyPatch, address: str, message: str
) -> None:
    monkeypatch.setattr("hashbench.running.cluster.connection.CONNECT", 1)
    outcome = command("run", *QUICK, "--scheduler", address)
    assert outcome.code == 2
    assert outcome.err == f"error: {message}\n"


def test_without_dask_one_line_says_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hashbench.api.measure.find_spec", lambda name: None)
    outcome = hashbench(capsys, monkeypatch, "run", *QUICK, "--workers", "2")
    assert outcome.code == 2
    assert outcome.err == (
        "error: --workers and --scheduler need Dask, and distributed is not installed; "
        "run pip install 'hashbench[cluster]'\n"
    )
