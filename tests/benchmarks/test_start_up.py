"""How long commands take that compute nothing, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

QUICK = ("run", "--training", "epochs=1", "--device", "cpu", "--attack", "noise", "--store", "store", "--out", "out")
MAIN = "from hashbench.cli import main; main()"


def command(words: tuple[str, ...], folder: Path) -> None:
    subprocess.run([sys.executable, "-c", MAIN, *words], cwd=folder, check=True, capture_output=True)


@pytest.mark.parametrize(
    ("words", "limit"),
    [(("--help",), 0.4), (("list",), 1.5), (QUICK, 4.0)],
    ids=["help", "list", "a fully resumed quick run"],
)
def test_start_up(
    benchmark: BenchmarkFixture, request: pytest.FixtureRequest, tmp_path: Path, words: tuple[str, ...], limit: float
) -> None:
    if not request.config.getoption("benchmark_enable"):
        pytest.skip("a benchmark; enable it with --benchmark-enable")
    command(words, tmp_path)
    benchmark.pedantic(command, (words, tmp_path), rounds=5)  # type: ignore[no-untyped-call]
    benchmark.extra_info |= {"limit": limit}
    assert min(benchmark.stats.stats.data) < limit  # type: ignore[union-attr]
