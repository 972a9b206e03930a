"""Peak memory of a run whose database is on a disk, as the database grows.

Run it with `pytest tests/benchmarks/test_memory.py --benchmark-enable`; it takes a few minutes.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from hashbench.datasets.fashion_mnist import DEBIAN

SMALL, LARGE = 2_000, 20_000
JOB = """
import sys
from hashbench.cli.main import cli
from hashbench.running.provenance import peak_memory
cli.main(sys.argv[1:], standalone_mode=False)
print("peak", peak_memory())
"""


def peak(folder: Path, lines: int) -> int:
    """Peak resident memory in bytes of the main job with so many database images."""
    script = Path(__file__).parents[2] / "scripts" / "fashion_jpegs.py"
    data = folder / f"data{lines}"
    subprocess.run([sys.executable, script, data, "--images", "200", "--lines", str(lines)], check=True)
    words = ["run", "--dataset", f"lists:root={data},size=64", "--training", "epochs=1", "--device", "cpu"]
    words += ["--attack", "pgd-hamming:steps=2,restarts=1", "--store", f"{folder}/s{lines}", "--out", f"{folder}/out"]
    done = subprocess.run([sys.executable, "-c", JOB, *words], check=True, capture_output=True, text=True)
    return int(done.stdout.rsplit("peak", 1)[1])


@pytest.mark.usefixtures("measuring")
@pytest.mark.skipif(not DEBIAN.is_dir(), reason="needs Debian's package dataset-fashion-mnist")
def test_memory_does_not_grow_with_the_database(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    small = peak(tmp_path, SMALL)
    large: int = benchmark.pedantic(  # type: ignore[no-untyped-call]
        peak, (tmp_path, LARGE), rounds=1
    )
    benchmark.extra_info |= {"limit": "15 %", "MB at 2,000 and 20,000 items": [small / 2**20, large / 2**20]}
    assert abs(large - small) < 0.15 * small
