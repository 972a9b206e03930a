"""A table of what benchmarks found, below their times: it is what docs/performance.md shows."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

NUMBERS = "{:.3g}"
KNOWN = frozenset({"ratio", "goal", "limit", "plain", "why"})  # have columns of their own, or a line
GOAL_MET, GOAL_MISSED = "met:", "missed:"
BUSY = os.getloadavg()  # before the first benchmark


@pytest.fixture
def measuring(request: pytest.FixtureRequest) -> None:
    """Skips what only measures unless benchmarks are on."""
    if not request.config.getoption("benchmark_enable"):
        pytest.skip("a benchmark; enable it with --benchmark-enable")


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print a row a benchmark, with every number that it left in `extra_info`, and why goals were missed."""
    session = getattr(config, "_benchmarksession", None)
    measured = [bench for bench in session.benchmarks if bench.stats.data] if session else []
    if not measured:
        return
    load = f"load {BUSY[0]:.1f} before, {os.getloadavg()[0]:.1f} after"
    terminalreporter.write_line(f"\n{os.cpu_count()} cores, {machine()}; {load}\n")
    for line in table([(bench.name, min(bench.stats.data), bench.extra_info) for bench in measured]):
        terminalreporter.write_line(line)


def table(measured: Sequence[tuple[str, float, Mapping[str, Any]]]) -> Iterator[str]:
    """The table of benchmarks, given by name, seconds and what they left, and a line for each goal that was missed.

    Of what was left, `ratio` is against the plain reference `plain` in the same run and is held against `goal`; `why`
    says what keeps it from there. A benchmark fails where its `limit` is missed, not its goal.
    """
    yield "| benchmark | seconds | ratio | goal | limit | seen | against |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    missed = []
    for name, seconds, left in measured:
        info = {"ratio": "", "goal": "", "limit": "", "plain": "", **left}
        seen = ", ".join(f"{key} {shown(info[key])}" for key in info if key not in KNOWN)
        goal = f"{GOAL_MET if met(info) else GOAL_MISSED} {shown(info['goal'])}" if info["goal"] != "" else ""
        cells = (name, shown(seconds), shown(info["ratio"]), goal, shown(info["limit"]), seen, info["plain"])
        yield f"| {' | '.join(cells)} |"
        if not met(info):
            missed.append(f"{name} misses its goal: {info.get('why', 'nobody has looked why')}")
    if missed:
        yield from ("", *missed)


def met(info: Mapping[str, Any]) -> bool:
    """Whether the ratio is within the goal; true without a goal."""
    return info["goal"] == "" or bool(info["ratio"] <= info["goal"])


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
