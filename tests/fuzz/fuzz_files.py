"""2,000 damaged files, each a mutation of a valid one, read under guards: no traceback, no hang, no gigabyte.

Run it from the repository with `PYTHONPATH=tests python -m fuzz.fuzz_files [COUNT]`; 0 is the exit status of a
run without findings. Mutations are drawn with a fixed seed.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from valid_files import Form, damaged, forms

from fuzz.guards import guarded, guarded_memory
from hashbench.errors import HashbenchError

COUNT = 2000
LONGEST = 1000  # characters of a message
OUTCOMES = ("read", "refused", "traceback", "slow", "large", "several lines")
GOOD = frozenset({"read", "refused"})


@dataclass
class Report:
    """How often each outcome came, by format, what it was where it must not be, and the slowest file."""

    counts: dict[str, Counter[str]] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)
    slowest: float = 0.0

    def __str__(self) -> str:
        rows: list[tuple[str, ...]] = [("format", *OUTCOMES)]
        rows += [(name, *(str(found[outcome]) for outcome in OUTCOMES)) for name, found in self.counts.items()]
        total = sum(self.counts.values(), Counter[str]())
        rows.append(("all", *(str(total[outcome]) for outcome in OUTCOMES)))
        lines = ["  ".join(f"{cell:>13}" for cell in row) for row in rows]
        return "\n".join([*lines, f"slowest: {self.slowest:.2f} s", *self.findings])


def fuzz(count: int = COUNT, seed: int = 0) -> Report:
    """Read damaged files of all formats in turn, and count what came of it."""
    report, all_forms = Report(), forms()
    names = list(all_forms)
    report.counts = {name: Counter() for name in names}
    with tempfile.TemporaryDirectory() as folder, guarded_memory():
        path = Path(folder) / "file"
        for number in range(count):
            name = names[number % len(names)]
            path.write_bytes(damaged(all_forms[name].content, np.random.default_rng([seed, number])))
            start = time.perf_counter()
            outcome, what = attempt(all_forms[name], path)
            report.slowest = max(report.slowest, time.perf_counter() - start)
            report.counts[name][outcome] += 1
            if outcome not in GOOD:
                report.findings.append(f"mutation {number} of {name}: {outcome}\n{what}")
    return report


def attempt(form: Form, path: Path) -> tuple[str, str]:
    """What came of reading one file, and its traceback or message."""

    def read() -> tuple[str, str]:
        try:
            form.read(path)
        except HashbenchError as error:
            what = str(error)
            return ("refused" if what.isprintable() and len(what) < LONGEST else "several lines"), what
        return "read", ""

    return guarded(read)


def main(words: list[str]) -> int:
    """Fuzz, print the counts, and return 1 if anything was found."""
    report = fuzz(int(words[0]) if words else COUNT)
    sys.stdout.write(f"{report}\n")
    return 1 if report.findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
