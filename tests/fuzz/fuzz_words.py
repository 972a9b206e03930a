"""10,000 fuzzed invocations of the command line, each a mutation of a valid one: no traceback, no hang, no gigabyte.

Run it from the repository with `PYTHONPATH=tests python -m fuzz.fuzz_words [COUNT [FIRST]]`; 0 is the exit status of a
run without findings. Mutations are drawn with a fixed seed. Nothing is trained: `words.STOPS`.
"""

from __future__ import annotations

import faulthandler
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import patch

import numpy as np

from fuzz import sandbox, words
from fuzz.guards import guarded, guarded_memory, own_time
from hashbench.cli.endings import LONGEST
from hashbench.cli.main import cli
from hashbench.registry import entries

COUNT = 10_000
FRESH = 100  # invocations until the folder is made anew
HANGS = 600  # seconds after which native code that does not end is given up, with all threads printed
OUTCOMES = ("done", "found", "refused", "traceback", "slow", "large", "several lines", "odd output")
GOOD = frozenset({"done", "found", "refused"})
LINES_MORE = ("warning: ", "below its certificate: ")  # what may stand on standard error beside an error


@dataclass
class Report:
    """How often each outcome came, by command, what it was where it must not be, and the slowest invocation."""

    counts: dict[str, Counter[str]] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)
    slowest: tuple[float, words.Words] = (0.0, ())

    def __str__(self) -> str:
        rows: list[tuple[str, ...]] = [("command", *OUTCOMES)]
        rows += [(name, *(str(found[outcome]) for outcome in OUTCOMES)) for name, found in sorted(self.counts.items())]
        total = sum(self.counts.values(), Counter[str]())
        rows.append(("all", *(str(total[outcome]) for outcome in OUTCOMES)))
        lines = ["  ".join(f"{cell:>13}" for cell in row) for row in rows]
        seconds, slow = self.slowest
        return "\n".join([*lines, f"slowest: {seconds:.2f} s, {_shown(slow)}", f"findings: {len(self.findings)}"])


def fuzz(count: int = COUNT, seed: int = 0, first: int = 0) -> Report:
    """Run mutated invocations, and count what came of them by the command that they name."""
    report = Report()
    with tempfile.TemporaryDirectory() as root, quiet_environment(Path(root)):
        template, folder = Path(root) / "template", Path(root) / "a" / "b" / "work"
        template.mkdir()
        folder.parent.mkdir(parents=True)
        before = Path.cwd()
        try:
            sandbox.make_template(template)
        finally:
            os.chdir(before)
        with sandbox.small_probes():
            warm_up(template, folder)
        with sandbox.small_probes(), guarded_memory():
            for start in range(first, first + count, FRESH):
                with sandbox.filled(template, folder):
                    for number in range(start, min(start + FRESH, first + count)):
                        look(words.mutated(np.random.default_rng([seed, number])), number, report)
    return report


def look(given: words.Words, number: int, report: Report) -> None:
    """Run one invocation and count it."""
    start = own_time()
    faulthandler.dump_traceback_later(HANGS, exit=True)
    outcome, what = attempt(given)
    faulthandler.cancel_dump_traceback_later()
    seconds = own_time() - start
    report.slowest = max(report.slowest, (seconds, given))
    name = next((word for word in given if word in cli.commands), "(none)")
    report.counts.setdefault(name, Counter())[outcome] += 1
    if outcome not in GOOD:
        finding = f"invocation {number}: {outcome}, {seconds:.1f} s: {_shown(given)}\n{what}"
        report.findings.append(finding)
        sys.stderr.write(f"{finding}\n")


def attempt(given: words.Words) -> tuple[str, str]:
    """What came of one invocation, and its traceback or output."""
    known = [dict(registry._entries) for registry in entries.REGISTRIES]
    try:
        return guarded(lambda: judged(*sandbox.invoke(given)))
    finally:
        for registry, before in zip(entries.REGISTRIES, known, strict=True):
            registry._entries = before


def judged(code: int, out: str, err: str) -> tuple[str, str]:
    """The outcome of an invocation by its exit status and what it printed."""
    lines = err.splitlines()
    said = f"exit status {code}\n{out[-2000:]}\n{err[-2000:]}"
    if not all(line.isprintable() for line in [*out.split("\n"), *err.split("\n")]):
        return "odd output", said
    if "takes more memory or depth" in out or "MemoryError" in out + err:
        return "large", said
    if "holds what no leaderboard has" in out:
        return "odd output", said
    if code == 2 and not _is_help(out):
        errors = [line for line in lines if line.startswith("error: ")]
        if len(errors) != 1 or lines[-1] != errors[0] or len(errors[0]) > LONGEST + 10:
            return "several lines", said
        return "refused", ""
    if code not in (0, 1) and not _is_help(out):
        return "odd output", said
    return ("found" if code else "done"), ""


def _is_help(out: str) -> bool:
    return out.startswith("Usage: ")


def warm_up(template: Path, folder: Path) -> None:
    """Compile what is compiled on first use, which takes seconds and is kept for later processes."""
    with sandbox.filled(template, folder):
        for line in ("score codes.npz", "verify sent --rerun 1", "compare bit-depth none"):
            sandbox.invoke(line.split())


@contextmanager
def quiet_environment(root: Path) -> Iterator[None]:
    """A home of its own and no data sets, so that the fuzzer neither reads nor writes the user's files."""
    own = {"HOME": str(root), "XDG_CACHE_HOME": str(root), "TORCH_HOME": str(root)}
    with patch.dict(os.environ, own):
        os.environ.pop("HASHBENCH_DATA", None)
        yield


def _shown(given: words.Words) -> str:
    return " ".join(repr(word if len(word) < 60 else f"{word[:20]}... ({len(word)})") for word in given)


def main(given: list[str]) -> int:
    """Fuzz, print the counts, and return 1 if anything was found."""
    count, first = (int(word) for word in [*given, *("10000", "0")[len(given) :]])
    report = fuzz(count, first=first)
    sys.stdout.write(f"{report}\n")
    return 1 if report.findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
