"""What a command says while it runs where there is no terminal."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from command import LOG, QUICK, SMALL_PROBES, Command

PROGRAM = (sys.executable, "-c", "from hashbench.cli.main import main; main()")
PIPES: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
WORDS = ("run", *QUICK, "--attack", "noise", "--defense", "cgat:epochs=1,steps=1")


def told(log: str) -> list[str]:
    """The lines of a log without dates and times."""
    return [LOG.sub("", line) for line in log.splitlines()]


@pytest.mark.usefixtures("undrawn")
def test_a_run_tells_of_each_training_cell_and_probe(command: Command) -> None:
    log = told(command(*WORDS).log)
    where = "digits, 32 bits, seed 0"
    starts = [line.removeprefix("start: ") for line in log if line.startswith("start: ")]
    assert starts[:-1] == [
        "reading the data",
        f"training the model csq, {where}",
        f"undefended, clean queries, {where}",
        f"undefended under noise, {where}",
        f"training cgat:epochs=1,steps=1, {where}",
        f"cgat:epochs=1,steps=1, clean queries, {where}",
        f"cgat:epochs=1,steps=1 under noise, {where}",
        f"probe of undefended, {where}",
        f"probe of cgat:epochs=1,steps=1, {where}",
        f"certificate of undefended, {where}",
        f"certificate of cgat:epochs=1,steps=1, {where}",
    ]
    assert starts[-1].startswith("tables and pictures of digits")
    ends = [line for line in log if line.startswith("done: ")]
    assert [line.removeprefix("done: ").startswith(start) for line, start in zip(ends, starts, strict=True)] == [
        True
    ] * len(starts)
    assert "cells: 1 of 4, about " in ends[2]
    assert ends[2].endswith(" left")
    assert ends[6].endswith("; cells: 4 of 4")
    again = told(command(*WORDS).log)
    assert [line for line in again if line.startswith("cells")] == ["cells: 0 of 4", "cells: 4 of 4"]
    assert not [line for line in again if "training" in line or "under" in line]


@pytest.mark.usefixtures("undrawn")
def test_quiet_says_nothing(command: Command) -> None:
    outcome = command("run", *QUICK, "--attack", "noise", "--quiet")
    assert (outcome.code, outcome.err, outcome.log) == (0, "", "")
    assert command("report", "--quiet").log == ""
    assert "tables and pictures" in command("report").log


def test_tuning_tells_of_its_trials(command: Command) -> None:
    words: tuple[str, ...] = (
        "tune",
        "cgat:epochs=1",
        "--attack",
        "noise",
        "--training",
        "epochs=1",
        "--grid",
        "steps=1,2",
    )
    words += ("--grid", "weight=1,2", "--grow", "0")
    log = command(*words).log
    assert (log.count("start: training cgat"), log.count("done: training cgat")) == (4, 4)
    assert "cells: 10 of 10" in log
    assert command(*words, "--quiet").log == ""


@pytest.mark.parametrize("words", ["list", "--help", "list attacks"])
def test_a_reader_that_leaves_early_is_no_error(words: str) -> None:
    with subprocess.Popen([*PROGRAM, *words.split()], **PIPES) as command:
        assert command.stdout is not None
        assert command.stderr is not None
        command.stdout.close()  # before the first line
        assert command.stderr.read() == b""
    assert command.returncode == 0


def test_a_run_whose_reader_leaves_still_writes_its_tables(tmp_path: Path) -> None:
    program = (sys.executable, "-c", f"{SMALL_PROBES}\n{PROGRAM[-1]}")
    with subprocess.Popen([*program, "run", *QUICK, "--quiet"], cwd=tmp_path, **PIPES) as run:
        assert run.stdout is not None
        assert run.stderr is not None
        run.stdout.close()
        assert run.stderr.read() == b""
    assert run.returncode == 0
    assert len(list(tmp_path.glob("leaderboards/*/matrix.png"))) == 1
