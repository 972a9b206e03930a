"""What codes made again in clean-room processes cost: the suite quick with a plugin, from nothing, with and without."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

# A defense that trains as cgat does; it is no code of hashbench's own, so its cells are looked at.
PLUGIN = """
from hashbench import defense
from hashbench.defenses.cgat import cgat

@defense("of-a-plugin")
def of_a_plugin(model, train, method, threat):
    '''cgat with its defaults.'''
    return cgat(model, train, method, threat)
"""
MAIN = """
import sys
from hashbench.running import runner
from hashbench.cli.main import main
if sys.argv.pop(1) == "without":
    runner.needs_room = lambda cell: False
main()
"""
LIMIT = 0.15


def seconds(folder: Path, rooms: str) -> float:
    """Processor seconds of a run and of all its processes, which other load on the machine hardly changes."""
    (folder / "plugin.py").write_text(PLUGIN)
    words = ["run", "--suite", "quick", "--plugin", "plugin.py", "--defense", "of-a-plugin", "--device", "cpu"]
    process = subprocess.Popen(
        [sys.executable, "-c", MAIN, rooms, *words, "--store", f"store-{rooms}", "--out", f"out-{rooms}"],
        cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return used.ru_utime + used.ru_stime


@pytest.mark.usefixtures("measuring")
def test_clean_room(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    without = seconds(tmp_path, "without")
    used: float = benchmark.pedantic(seconds, (tmp_path, "with"), rounds=1)  # type: ignore[no-untyped-call]
    benchmark.extra_info |= {
        "limit": f"{1 + LIMIT:.3g}", "goal": 1 + LIMIT, "ratio": used / without,
        "plain": "the same without clean-room processes",
        "processor seconds with and without": [used, without],
    }  # fmt: skip
    assert used <= (1 + LIMIT) * without
