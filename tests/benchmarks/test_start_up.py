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
    benchmark.extra_info |= {"limit": f"{limit} s"}
    assert min(benchmark.stats.stats.data) < limit  # type: ignore[union-attr]


@pytest.mark.usefixtures("measuring")
def test_quick_suite(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    """From an empty store, beside the same command once more."""
    words = ("run", "--suite", "quick", "--device", "cpu", "--store", "store", "--out", "out")
    benchmark.pedantic(command, (words, tmp_path), rounds=1)  # type: ignore[no-untyped-call]
    began = time.perf_counter()
    command(words, tmp_path)
    again = time.perf_counter() - began
    whole: float = min(benchmark.stats.stats.data)  # type: ignore[union-attr]
    benchmark.extra_info |= {"plain": "the same command once more", "seconds again": again, "ratio": again / whole}
    assert again < whole / 4
