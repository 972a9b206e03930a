"""A table of what benchmarks found, below their times: it is what docs/performance.md shows."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

import pytest

NUMBERS = "{:.3g}"


@pytest.fixture
def measuring(request: pytest.FixtureRequest) -> None:
    """Skips what only measures unless benchmarks are on."""
    if not request.config.getoption("benchmark_enable"):
        pytest.skip("a benchmark; enable it with --benchmark-enable")


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print a row a benchmark, with every number that it left in `extra_info`."""
    session = getattr(config, "_benchmarksession", None)
    measured = [bench for bench in session.benchmarks if bench.stats.data] if session else []
    if not measured:
        return
    terminalreporter.write_line(f"\n{os.cpu_count()} cores, {machine()}\n")
    terminalreporter.write_line("| benchmark | seconds | limit | seen | against |")
    terminalreporter.write_line("| --- | --- | --- | --- | --- |")
    for bench in measured:
        info = {"limit": "", "plain": "", **bench.extra_info}
        seen = ", ".join(f"{name} {shown(info[name])}" for name in info if name not in {"limit", "plain"})
        seconds = NUMBERS.format(min(bench.stats.data))
        terminalreporter.write_line(f"| {bench.name} | {seconds} | {info['limit']} | {seen} | {info['plain']} |")


def machine() -> str:
    """What kind of processor, and which Python and system."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    except OSError:
        names = []
    return f"{names[0] if names else platform.machine()}, Python {platform.python_version()}, {platform.system()}"


def shown(value: Any) -> str:
    """A number, or several, with three digits."""
    values = value if isinstance(value, list) else [value]
    return " ".join(NUMBERS.format(item) if isinstance(item, int | float) else str(item) for item in values)
