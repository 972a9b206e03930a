"""Run the command line inside the tests' process or in one of its own."""

from __future__ import annotations

import io
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

import pandas as pd
import pytest

from hashbench.cli.main import main
from hashbench.registry import entries

LOG = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ")


class SmallModel(TypedDict):
    """A network, and its clean training, that take little time."""

    training: str
    backbone: str


SMALL_MODEL: SmallModel = {"training": "epochs=1", "backbone": "cnn:width=8"}
QUICK = ("--training", SMALL_MODEL["training"], "--backbone", SMALL_MODEL["backbone"], "--dataset", "digits")


@dataclass(frozen=True)
class Outcome:
    """What a command left behind; `log` are the lines of progress on standard error, `err` the others."""

    code: int
    out: str
    err: str
    log: str = field(default="", compare=False)


Command = Callable[..., Outcome]

# What makes the probes of another process as small as `make_probes_small` does; a plugin may begin with it.
SMALL_PROBES = """
from hashbench.evaluation import probe
from hashbench.running import certificates, probes
probe.QUERIES, probe.STEPS, probes.BLACK_BOX = 8, 1, "square-hamming:steps=2"
certificates.RULE, certificates.BRANCHES = "intervals", 1
"""
# No pictures of a command in a process of its own, where a plugin begins with it.
UNDRAWN = """
import sys
if "hashbench.boards.write" in sys.modules:
    write = sys.modules["hashbench.boards.write"]
    write.save_matrix = write.save_pictures = lambda *_: ()
"""
PLUGIN = """
from hashbench import Craft, Queries, Threat, Victim, attack

@attack("{name}")
def my_attack(victim: Victim, threat: Threat) -> Craft:
    '''An attack of my own.'''
    def craft(queries: Queries):
        {body}
    return craft
"""


def hashbench(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str | Path) -> Outcome:
    """Run the command in this process, with probes and certificates that take as little time as can be."""
    capsys.readouterr()
    code = _ended(monkeypatch, words)
    said = capsys.readouterr()
    return Outcome(code, said.out, *without_log(said.err))


def work_in(folder: Path, *words: str | Path) -> Outcome:
    """The same for a fixture that several tests share, in a folder."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.chdir(folder)
        code = _ended(patch, words)
    return Outcome(code, out.getvalue(), *without_log(err.getvalue()))


def make_probes_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Probes and certificates that take as little time as can be."""
    for name, small in (
        ("evaluation.probe.QUERIES", 8),
        ("evaluation.probe.STEPS", 1),
        ("running.probes.BLACK_BOX", "square-hamming:steps=2"),
        ("running.certificates.RULE", "intervals"),
        ("running.certificates.BRANCHES", 1),
    ):
        monkeypatch.setattr(f"hashbench.{name}", small)


def _ended(monkeypatch: pytest.MonkeyPatch, words: Sequence[str | Path]) -> int:
    make_probes_small(monkeypatch)
    monkeypatch.setattr(sys, "argv", ["hashbench", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main()
    code = ended.value.code
    return code if isinstance(code, int) else 1


def without_log(text: str) -> tuple[str, str]:
    """What a command wrote to standard error without the lines of progress, and these."""
    lines = text.splitlines(keepends=True)
    log = [line for line in lines if LOG.match(line)]
    return "".join(line for line in lines if not LOG.match(line)), "".join(log)


def start(words: Sequence[str | Path], folder: Path, *, group: bool = False) -> subprocess.Popen[str]:
    """Start the command in a process of its own, which hears Ctrl-C and hang-ups even if the tests were told not to.

    Args:
        group: start it in a process group of its own, as a shell does.
    """
    program = "from hashbench.cli.main import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, words)],
        preexec_fn=lambda: [signal.signal(one, signal.SIG_DFL) for one in (signal.SIGINT, signal.SIGHUP)],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, process_group=0 if group else None,
    )  # fmt: skip


@pytest.fixture
def registries() -> Iterator[None]:
    """Plugins of one test are gone in the next."""
    with registries_restored():
        yield


@contextmanager
def registries_restored() -> Iterator[None]:
    """A block whose plugins are gone after it."""
    entries.attacks["none"]
    before = [dict(group._entries) for group in entries.REGISTRIES]
    yield
    for group, known in zip(entries.REGISTRIES, before, strict=True):
        group._entries = known


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    monkeypatch.chdir(tmp_path)
    return lambda *words: hashbench(capsys, monkeypatch, *words)


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pictures, which take most of the time of a small run."""
    draw_nothing(monkeypatch)


def make_runs_small(patched: pytest.MonkeyPatch) -> None:
    """Small probes and no pictures."""
    make_probes_small(patched)
    draw_nothing(patched)


def draw_nothing(patched: pytest.MonkeyPatch) -> None:
    for place in ("boards.write.save_matrix", "boards.write.save_pictures", "verification.board.check_pictures"):
        patched.setattr(f"hashbench.{place}", lambda *_: ())


def write_plugin(folder: Path, name: str, body: str) -> Path:
    path = folder / f"{name.replace('-', '_')}.py"
    path.write_text(PLUGIN.format(name=name, body=body))
    return path


def rows(folder: Path = Path("leaderboards")) -> pd.DataFrame:
    (path,) = folder.glob("*/results.csv")
    return pd.read_csv(path)
