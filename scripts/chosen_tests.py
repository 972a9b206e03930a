"""Collected tests, run in processes of their own: to note which lines each runs, or until one fails."""

from __future__ import annotations

import json
import os
import signal
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from multiprocessing import get_context
from pathlib import Path

import pytest
from coverage import Coverage, CoverageData

MEASURED = ("hashbench", "attacks", "defenses")
FORK = get_context("fork")


def apart(work: Callable[[], None], most: float) -> int | None:
    """Do a work in a process of its own: what it ended with; None if it was stopped after so many seconds."""
    process = FORK.Process(target=_leading, args=(work,))
    process.start()
    process.join(most)
    code = process.exitcode
    if code is None and process.pid:
        os.killpg(process.pid, signal.SIGKILL)
        process.join()
    return code


def _leading(work: Callable[[], None]) -> None:
    os.setsid()  # what the work starts is stopped with it
    work()


class Outcomes:
    """A plugin that knows in which part of which test the process is, and which have failed."""

    def __init__(self) -> None:
        self.coverage: Coverage | None = None
        self.failed: list[str] = []
        self.other: set[str] = set()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Lines from here on are run by a fixture; other tests of the file may share what it makes."""
        if self.coverage:
            self.coverage.switch_context(item.nodeid.partition("::")[0])

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> None:
        """Lines from here on are run by the test."""
        if self.coverage:
            self.coverage.switch_context(item.nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A part of a test has ended."""
        if report.failed:
            self.failed.append(report.nodeid)
        elif report.outcome != "passed":
            self.other.add(report.nodeid)

    def run(self, items: Sequence[pytest.Item]) -> Iterable[str]:
        """Run tests one after the other; each is named when it has ended."""
        for item, following in zip(items, [*items[1:], None], strict=True):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            yield item.nodeid

    def until_one_fails(self, items: Sequence[pytest.Item], noted: Path) -> None:
        """Run tests, and write down the first that fails."""
        for _ in self.run(items):
            if self.failed:
                noted.write_text(self.failed[0])
                return

    def record(self, items: Sequence[pytest.Item], tree: Path, kept: Path, most: float) -> None:
        """Run tests for some seconds of work; keep the lines, and the seconds of each test that passed."""
        source = [str((tree / name).resolve()) for name in MEASURED]
        self.coverage = Coverage(data_file=str(kept), source=source, config_file=False, messages=False)
        self.coverage.start()
        seconds, began = {}, worked()
        before = began
        for name in self.run(items):
            seconds[name], before = worked() - before, worked()
            if before - began > most:
                break
        self.coverage.stop()
        self.coverage.save()
        passed = {name: took for name, took in seconds.items() if name not in self.other.union(self.failed)}
        kept.with_suffix(".json").write_text(json.dumps(passed))


def worked() -> float:
    """Seconds of a processor that this process and those it waited for have used."""
    return sum(os.times()[:4])


def tests_by_line(folder: Path, tree: Path) -> tuple[dict[tuple[str, int], set[str]], dict[str, float]]:
    """The tests that run each line, and the seconds of each test; a fixture's line has all tests of the fixture's file.

    Lines are those of files in a tree, by their paths from there.
    """
    seconds: dict[str, float] = {}
    tests: dict[tuple[str, int], set[str]] = defaultdict(set)
    for path in sorted(folder.glob("*.json")):
        here = json.loads(path.read_text())
        seconds |= here
        data = CoverageData(str(path.with_suffix("")))
        data.read()
        for name in filter(lambda name: name.endswith(".py"), data.measured_files()):  # templates have lines too
            file = str(Path(name).relative_to(tree))
            for line, contexts in data.contexts_by_lineno(name).items():
                shared = any(context and "::" not in context for context in contexts)
                tests[file, line] |= set(here if shared else here.keys() & contexts)
    return {place: found for place, found in tests.items() if found}, seconds


def quickest(tests: Iterable[str], seconds: dict[str, float], most: float) -> list[str]:
    """The quickest tests that fit into some seconds, at least one; file by file, the quickest file first."""
    total = 0.0
    chosen: list[str] = []
    by_file: dict[str, float] = defaultdict(float)
    for test in sorted(tests, key=lambda test: (seconds[test], test)):
        total += seconds[test]
        if chosen and total > most:
            break
        chosen.append(test)
        by_file[test.partition("::")[0]] += seconds[test]
    return sorted(chosen, key=lambda test: (by_file[test.partition("::")[0]], test))
