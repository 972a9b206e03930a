#!/usr/bin/env python
"""Change random lines of functions that some test runs, one at a time, and count how many changes make a test fail.

A change moves a number, turns an operator or a comparison, negates a condition, or drops a statement. All tests are
collected once, and run in forks of that process: at first each file of tests, to note which test runs which line and
how long it takes; then, for each change, tests that ran the line, the quickest first, until one fails. A fork runs the
changed code, and so do the processes that it starts, which read the changed file in a copy of the tree. What was noted
and found is kept in a folder: the same command goes on where it was stopped.

Example: scripts/mutation_sample.py --count 100 --seed 0
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TextIO

import pytest
from changes import Change, change_of, put_into_functions
from chosen_tests import Outcomes, apart, quickest, tests_by_line

ROOT = Path(__file__).parents[1]
# Parts of paths of test files: these take long, or run in other processes what they test.
LEFT_OUT = (
    "benchmarks", "fuzz", "browser", "wheel", "cluster", "killed_runs", "stopped", "clean_room", "tutorial", "disks",
)  # fmt: skip
HUNG, NOT_MADE = "hung", "not made"
KEPT = ".kept"  # the ending of a file as it was before a change
SLOW_MACHINE = 30  # a test may take so many times its work before it is said to hang


@dataclass(frozen=True)
class Result:
    """What became of a change: the test that failed first, "" if none did, `HUNG` if they did not end in time.

    `NOT_MADE`, of a change that can't be put into a function at work, does not count as noticed.
    """

    place: str
    old: str
    new: str
    noticed_by: str
    tests_run: int
    tests_there: int


class Sample:
    """A plugin that, instead of running the collected tests once, records and samples with them."""

    def __init__(self, words: argparse.Namespace, outcomes: Outcomes, tree: Path) -> None:
        self.words, self.outcomes, self.tree = words, outcomes, tree
        self.folder = tree.parent
        self.results = self.folder / f"seed{words.seed}.jsonl"
        self.screen = os.fdopen(os.dup(2), "w", buffering=1)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Record, sample, report."""
        items = {item.nodeid: item for item in session.items}
        if not self.words.again:
            self.record(items)
        tests, seconds = tests_by_line(self.folder / "record", self.tree)
        print(f"{len(tests)} lines are run by {len(seconds)} of {len(items)} tests", file=self.screen)
        changes = list(islice(self.drawn(list(tests)), self.words.count))
        done = {result.place: result for result in read(self.results)}
        for number, change in enumerate(changes, 1):
            there = tests[change.path, change.line]
            if self.words.again:
                chosen = [name for name in items if name.startswith(tuple(self.words.again))]
                wanted = change.place in done and done[change.place].noticed_by in ("", NOT_MADE)
            else:
                chosen, wanted = quickest(there & items.keys(), seconds, self.words.most), change.place not in done
            if wanted:
                most = 300 + SLOW_MACHINE * sum(seconds.get(name, 2) for name in chosen)
                by = self.noticed_by(change, [items[name] for name in chosen], most)
                result = Result(change.place, change.old, change.new, by, len(chosen), len(there))
                with self.results.open("a") as file:
                    file.write(json.dumps(asdict(result)) + "\n")
                print(f"{number} {change.place}: {change.old} -> {change.new}: {by or 'SURVIVED'}", file=self.screen)
        report(self.results, {change.place for change in changes}, self.screen)
        return True

    def record(self, items: dict[str, pytest.Item]) -> None:
        """Run files of tests that were not run yet, and note what they run."""
        by_file: dict[str, list[pytest.Item]] = defaultdict(list)
        for name, item in items.items():
            by_file[name.partition("::")[0]].append(item)
        folder = self.folder / "record"
        folder.mkdir(exist_ok=True)
        for name in sorted(by_file, key=lambda name: (name.split("/")[1] in ("api", "cli", "faults"), name)):
            kept = folder / name.replace("/", "-").removesuffix(".py")
            if not kept.with_suffix(".json").exists():
                most = SLOW_MACHINE * (self.words.record + 20)
                code = apart(partial(self.outcomes.record, by_file[name], self.tree, kept, self.words.record), most)
                print(f"recorded {name}: {code}", file=self.screen)

    def drawn(self, places: Collection[tuple[str, int]]) -> Iterator[Change]:
        """Changes of lines in a random order."""
        for path, line in random.Random(self.words.seed).sample(sorted(places), len(places)):
            change = change_of(self.tree, path, line, random.Random(f"{self.words.seed} {path}:{line}"))
            if change:
                yield change

    def noticed_by(self, change: Change, items: Sequence[pytest.Item], most: float) -> str:
        """The first test that fails with a change, "" if none does; the tree is as before afterwards."""
        path, noted = self.tree / change.path, self.folder / "failed"
        kept = path.with_suffix(KEPT)
        noted.unlink(missing_ok=True)
        shutil.copy2(path, kept)  # with its time, so that bytecode of the change is never taken for it

        def changed() -> None:
            try:
                put_into_functions(self.tree, change)
            except (LookupError, ValueError, SyntaxError):
                noted.write_text(NOT_MADE)
                return
            path.write_bytes(change.applied(kept.read_bytes()))
            self.outcomes.until_one_fails(items, noted)

        try:
            code = apart(changed, most)
        finally:
            kept.replace(path)
        if code is None:
            return HUNG
        return noted.read_text() if noted.exists() else f"exit status {code}" if code else ""


def main() -> None:
    """Record which tests run which lines, change a sample of them, and print what nobody noticed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100, help="changes")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--record", type=float, default=60, metavar="SECONDS", help="of each file of tests to record")
    parser.add_argument("--most", type=float, default=60, metavar="SECONDS", help="of tests that a change may take")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "mutations", help="folder of what was found")
    parser.add_argument("--again", nargs="+", default=[], metavar="TEST", help="try survivors on these tests instead")
    words = parser.parse_args()
    tree = copied_tree(words.work.resolve() / "tree", tests_anew=bool(words.again))
    signal.signal(signal.SIGINT, signal.default_int_handler)  # nohup and & leave these ignored
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    os.chdir(tree)
    os.environ["PYTHONPATH"] = sys.path[0] = str(tree)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # to compile all files for each process would take seconds
    sys.dont_write_bytecode = False
    outcomes = Outcomes()
    plugins = [outcomes, Sample(words, outcomes, tree)]
    with (tree.parent / "log").open("w") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    sys.argv = sys.argv[:1]
    files = {name.partition("::")[0] for name in words.again} or test_files(tree)
    sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", "-p", "no:xdist", *sorted(files)], plugins=plugins))


def copied_tree(folder: Path, *, tests_anew: bool) -> Path:
    """A copy of the files that git knows or would add, links as links; one that is there keeps all but its tests."""
    listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT,
                            capture_output=True, check=True, text=True).stdout.split("\0")  # fmt: skip
    fresh = not folder.exists()
    for kept in folder.rglob(f"*{KEPT}"):  # stopped amid a change
        kept.replace(kept.with_suffix(".py"))
    for name in filter(None, listed):
        if fresh or (tests_anew and name.startswith("tests/")):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name, follow_symlinks=False)
    return folder


def test_files(tree: Path) -> list[str]:
    """The files of tests, by their paths from the root."""
    names = [str(path.relative_to(tree)) for path in (tree / "tests").rglob("test_*.py")]
    return [name for name in names if not any(part in name for part in LEFT_OUT)]


def read(results: Path) -> list[Result]:
    """What was found so far; of a change that was tried again, the last counts."""
    lines = results.read_text().splitlines() if results.exists() else []
    return list({result.place: result for result in (Result(**json.loads(line)) for line in lines)}.values())


def report(results: Path, places: Collection[str], screen: TextIO) -> None:
    """Print each survivor, and how many changes were noticed."""
    found = [result for result in read(results) if result.place in places]
    for result in found:
        if result.noticed_by in ("", HUNG, NOT_MADE):
            tests = f"{result.tests_run} of {result.tests_there} tests"
            print(
                f"{result.noticed_by or 'survived'} {result.place}: {result.old} -> {result.new} ({tests})", file=screen
            )
    print(f"{sum(result.noticed_by not in ('', NOT_MADE) for result in found)} of {len(found)} noticed", file=screen)


if __name__ == "__main__":
    main()
