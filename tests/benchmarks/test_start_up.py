"""How long commands take that compute nothing, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

QUICK = ("run", "--training", "epochs=1", "--device", "cpu", "--attack", "noise", "--store", "store", "--out", "out")
MAIN = "from hashbench.cli.main import main; main()"


def command(words: tuple[str, ...], folder: Path) -> None:
    subprocess.run([sys.executable, "-c", MAIN, *words], cwd=folder, check=True, capture_output=True)


@pytest.mark.usefixtures("measuring")
@pytest.mark.parametrize(
    ("words", "limit"),
    [(("--help",), 0.4), (("list",), 1.5), (QUICK, 4.0)],
    ids=["help", "list", "a fully resumed quick run"],
)
def test_start_up(benchmark: BenchmarkFixture, tmp_path: Path, words: tuple[str, ...], limit: float) -> None:
    command(words, tmp_path)
    benchmark.pedantic(command, (words, tmp_path), rounds=5)  # type: ignore[no-untyped-call]
    least: float = min(benchmark.stats.stats.data)  # type: ignore[union-attr]
    benchmark.extra_info |= {
        "plain": f"{limit} s", "ratio": least / limit, "goal": 1, "limit": 1,
        "why": "the machine is not quiet, or has no bytecode of what is imported",
    }  # fmt: skip
    assert least < limit


@pytest.mark.usefixtures("measuring")
@pytest.mark.parametrize(
    ("spread", "goal"),
    [((), 30), (("--workers", "2"), 25)],
    ids=["the main job in one process", "the main job in two"],
)
def test_from_an_empty_store(benchmark: BenchmarkFixture, tmp_path: Path, spread: tuple[str, ...], goal: float) -> None:
    """Beside the same command once more; the goal is of seconds on two quiet cores."""
    words = ("run", "--suite", "quick", *spread, "--device", "cpu", "--store", "store", "--out", "out")
    benchmark.pedantic(command, (words, tmp_path), rounds=1)  # type: ignore[no-untyped-call]
    began = time.perf_counter()
    command(words, tmp_path)
    again = time.perf_counter() - began
    whole: float = min(benchmark.stats.stats.data)  # type: ignore[union-attr]
    benchmark.extra_info |= {
        "plain": f"{goal} s", "ratio": whole / goal, "goal": 1, "seconds again": again,
        "why": "the machine is not quiet or too slow for the goal",
    }  # fmt: skip
    assert again < whole / 4
