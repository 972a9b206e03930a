"""Limits of time and memory around one call, and what came of it."""

from __future__ import annotations

import resource
import signal
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

SECONDS = 10
BYTES = 1 << 30  # more than what the process holds at the start


class TooSlowError(BaseException):
    """The time limit; nothing that reads a file may catch it."""


def guarded(call: Callable[[], tuple[str, str]]) -> tuple[str, str]:
    """The outcome and the words that a call returns; `slow`, `large` or `traceback` where it did not end well."""
    start = own_time()
    try:
        with time_limit():
            outcome = call()
    except TooSlowError:
        return "slow", traceback.format_exc()
    except MemoryError:
        return "large", traceback.format_exc()
    except Exception:  # noqa: BLE001  # whatever a fuzzed call raises
        return "traceback", traceback.format_exc()
    return ("slow", outcome[1]) if own_time() - start > SECONDS else outcome


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
