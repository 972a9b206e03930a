"""Run the command line inside the tests' process or in one of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from hashbench.cli import main

QUICK = ("--training", "epochs=1", "--dataset", "digits")


@dataclass(frozen=True)
class Outcome:
    """What a command left behind."""

    code: int
    out: str
    err: str


def hashbench(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str | Path) -> Outcome:
    """Run the command in this process, with probes that are as small as can be."""
    for name, small in (("sanity.QUERIES", 8), ("sanity.STEPS", 1), ("checks.BLACK_BOX", "square-hamming:steps=2")):
        monkeypatch.setattr(f"hashbench.{name}", small)
    monkeypatch.setattr(sys, "argv", ["hashbench", *map(str, words)])
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    code = ended.value.code
    return Outcome(code if isinstance(code, int) else 1, said.out, said.err)


def start(words: Sequence[str | Path], folder: Path) -> subprocess.Popen[str]:
    """Start the command in a process of its own, which hears Ctrl-C even if the tests run in the background."""
    program = "from hashbench.cli import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, words)],
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
