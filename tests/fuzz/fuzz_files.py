"""2,000 damaged files, each a mutation of a valid one, read under guards: no traceback, no hang, no gigabyte.

Run it from the repository with `PYTHONPATH=tests python -m fuzz.fuzz_files [COUNT]`; 0 is the exit status of a
run without findings. Mutations are drawn with a fixed seed.
"""

from __future__ import annotations

import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from valid_files import Form, damaged, forms

from hashbench.errors import HashbenchError

COUNT = 2000
SECONDS = 10
BYTES = 1 << 30  # more than what the process holds at the start
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


class TooSlowError(BaseException):
    """The time limit; nothing that reads a file may catch it."""


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
    start = own_time()
    try:
        with time_limit():
            form.read(path)
        outcome, what = "read", ""
    except HashbenchError as error:
        what = str(error)
        outcome = "refused" if what.isprintable() and len(what) < LONGEST else "several lines"
    except TooSlowError:
        return "slow", traceback.format_exc()
    except MemoryError:
        return "large", traceback.format_exc()
    except Exception:  # noqa: BLE001
        return "traceback", traceback.format_exc()
    return ("slow", what) if own_time() - start > SECONDS else (outcome, what)


def own_time() -> float:
    """Seconds of work and of waiting, by a clock that stands still while others have the processor."""
    try:
        queued = int(Path("/proc/self/schedstat").read_text().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        queued = 0.0
    return time.perf_counter() - queued


@contextmanager
def time_limit() -> Iterator[None]:
    """Raise TooSlowError after SECONDS of the process's own time, as soon as Python code runs again."""
    start = own_time()

    def ring(signum: int, frame: object) -> None:
        if own_time() - start >= SECONDS:
            raise TooSlowError

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, SECONDS, SECONDS / 10)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def guarded_memory() -> Iterator[None]:
    """No more than BYTES of address space over what the process has now."""
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (held + BYTES, before[1]))
    try:
        with warnings.catch_warnings():
            yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def main(words: list[str]) -> int:
    """Fuzz, print the counts, and return 1 if anything was found."""
    report = fuzz(int(words[0]) if words else COUNT)
    sys.stdout.write(f"{report}\n")
    return 1 if report.findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
