"""Runs that a signal ends, and runs beside each other."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from command import start, without_log

PLUGIN = Path(__file__).with_name("odd_entries.py")
ODD = ("run", "--plugin", PLUGIN, "--dataset", "odd")
ENDLESS = (*ODD, "--training", "epochs=1000000")
KEPT = "stopped: finished cells are kept in runs; run the same command to resume\n"
AT_ONCE = "stopped at once; what was finished is kept\n"


def in_training(folder: Path) -> subprocess.Popen[str]:
    """A run whose training has begun."""
    run = start(ENDLESS, folder)
    assert run.stderr is not None
    while "start: training" not in run.stderr.readline():
        assert run.poll() is None
    return run


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_run_with_one_line(tmp_path: Path, number: signal.Signals) -> None:
    run = in_training(tmp_path)
    run.send_signal(number)
    out, err = run.communicate(timeout=120)
    assert run.returncode == 128 + number
    assert (out, without_log(err)[0]) == ("", KEPT)


def test_two_signals_are_one_line_too(tmp_path: Path) -> None:
    run = in_training(tmp_path)
    run.send_signal(signal.SIGINT)
    run.send_signal(signal.SIGTERM)  # a second SIGINT would be merged with the first
    out, err = run.communicate(timeout=120)
    assert run.returncode in (128 + signal.SIGINT, 128 + signal.SIGTERM)
    assert out == ""
    assert without_log(err)[0] in (KEPT, AT_ONCE)


def test_a_second_signal_ends_at_once() -> None:
    program = (
        "import os, signal, time\n"
        "from hashbench.cli.endings import end\n"
        "def command():\n"
        "    try:\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "        time.sleep(60)\n"
        "    finally:\n"  # something that does not come to an end when it should
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "        time.sleep(60)\n"
        "end(command)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", AT_ONCE)


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ("contextlib.nullcontext()", "stopped"),
        ("resumable('runs')", "stopped: finished cells are kept in runs; run the same command to resume"),
    ],
)
def test_a_signal_that_a_library_makes_another_error_of_is_one_line_too(block: str, said: str) -> None:
    program = (
        "import contextlib, os, signal, sys\n"
        "from hashbench.cli.endings import end, resumable\n"
        "def command():\n"
        f"    with {block}:\n"
        "        try: os.kill(os.getpid(), getattr(signal, sys.argv[1]) if len(sys.argv) > 1 else 0)\n"
        "        except KeyboardInterrupt as error: raise ImportError('initialization failed') from error\n"
        "        raise ImportError('of its own')\n"
        "end(command)"
    )

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=False)

    for name, code in (("SIGINT", 130), ("SIGTERM", 143)):
        done = run(name)
        assert (done.returncode, done.stdout, done.stderr) == (code, "", f"{said}\n")
    broken = run()
    assert broken.returncode == 1
    assert broken.stderr.endswith("ImportError: of its own\n"), "without a signal it stays what it is"


IMPORTED = """
import os, signal, time
os.kill(os.getpid(), signal.SIGINT)
try: time.sleep(0.2)
except BaseException: raise SystemExit("the signal came while a module was being imported")
open("imported", "w").close()
"""


@pytest.mark.parametrize("block", ["contextlib.nullcontext()", "resumable('runs')"])
@pytest.mark.parametrize("rest", ["pass", "time.sleep(60)"])
def test_a_signal_waits_for_an_import(tmp_path: Path, block: str, rest: str) -> None:
    (tmp_path / "imported_slowly.py").write_text(IMPORTED)
    program = (
        "import contextlib, sys, time\n"
        "from hashbench.cli.endings import end, resumable\n"
        "def command():\n"
        f"    with {block}:\n"
        "        import imported_slowly\n"
        f"        {rest}\n"
        "end(command)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr in ("stopped\n", KEPT)
    assert (tmp_path / "imported").exists()


@pytest.mark.parametrize("twice", [False, True])
def test_an_import_that_does_not_end_is_stopped(tmp_path: Path, twice: bool) -> None:
    (tmp_path / "endless.py").write_text(
        "import os, signal, time\n"
        "os.kill(os.getpid(), signal.SIGINT)\n"
        + ("os.kill(os.getpid(), signal.SIGINT)\n" if twice else "")
        + "time.sleep(60)"
    )
    program = (
        "from hashbench.cli import endings\nendings.IMPORT = 0.3\ndef command(): import endless\nendings.end(command)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", AT_ONCE if twice else "stopped\n")


def test_a_signal_that_a_finalizer_drops_is_raised_again() -> None:
    program = (
        "import os, signal, time\n"
        "from hashbench.cli.endings import end\n"
        "class Dropping:\n"
        "    def __del__(self): os.kill(os.getpid(), signal.SIGINT)\n"
        "def command():\n"
        "    Dropping()\n"
        "    time.sleep(60)\n"
        "end(command)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "stopped\n")


def test_a_run_under_nohup_outlives_its_terminal() -> None:
    program = (
        "import os, signal\n"
        "from hashbench.cli.endings import end\n"
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "def command(): os.kill(os.getpid(), signal.SIGHUP); print('done')\n"
        "end(command)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


@pytest.mark.slow
def test_four_commands_on_one_store_do_the_work_once(tmp_path: Path) -> None:
    words = (*ODD, "--training", "epochs=3", "--attack", "odd-effects", "--defense", "cgat:epochs=1,steps=1")
    runs = [start((*words, "--out", f"out-{number}"), tmp_path) for number in range(4)]
    for run in runs:
        _, err = run.communicate(timeout=600)
        assert run.returncode == 0
        assert without_log(err)[0] == ""
    tables = {path.read_bytes() for path in tmp_path.glob("out-*/*/results.csv")}
    assert len(list(tmp_path.glob("out-*/*/results.csv"))) == 4
    assert len(tables) == 1
    assert len((tmp_path / "crafted").read_text().split()) == 2  # one batch for each model, by whoever was first
