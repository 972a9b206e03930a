"""Progress of loops and of long jobs, for a terminal's bars or for the lines of a log."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

T = TypeVar("T")

EVERY = 50  # seconds after which a log says that something still runs: at least one line a minute
FOUND = 0.05  # seconds; a step that takes less was found in the store, and says nothing about the time left


class LoopMeter(Protocol):
    """Shows how far named loops have got."""

    def begin(self, name: str, total: int | None) -> int:
        """Show a new loop of `total` steps, or a wait, which has none; returns its handle."""

    def advance(self, handle: int) -> None:
        """Move a loop one step forward."""

    def end(self, handle: int) -> None:
        """Remove a loop."""


class JobMeter(Protocol):
    """Shows which jobs begin and end."""

    def started(self, name: str) -> None:
        """Show that a job begins: a training, a cell, a probe."""

    def finished(self, name: str, seconds: float, *, step: bool, failed: bool) -> None:
        """Show that a job has ended; one that is a step ends a step of the outermost loop."""


_loops: ContextVar[LoopMeter | None] = ContextVar("loops", default=None)
_jobs: ContextVar[JobMeter | None] = ContextVar("jobs", default=None)


@contextmanager
def shown_on(loops: LoopMeter | None = None, jobs: JobMeter | None = None) -> Iterator[None]:
    """Show the progress of all loops and of all jobs inside the block on meters; without one, they are not shown."""
    before = _loops.set(loops), _jobs.set(jobs)
    try:
        yield
    finally:
        _loops.reset(before[0])
        _jobs.reset(before[1])


@contextmanager
def waiting(name: str) -> Iterator[None]:
    """Show a name while a block waits for something."""
    meter = _loops.get()
    handle = meter.begin(name, None) if meter else 0
    try:
        yield
    finally:
        if meter:
            meter.end(handle)


@contextmanager
def job(name: str, *, step: bool = False) -> Iterator[None]:
    """Report that a block begins and ends, with its seconds.

    Args:
        step: the block is what takes time in one step of the outermost loop.
    """
    meter = _jobs.get()
    if meter is None:
        yield
        return
    meter.started(name)
    began = time.perf_counter()
    try:
        yield
    except Exception:
        meter.finished(name, time.perf_counter() - began, step=False, failed=True)
        raise
    meter.finished(name, time.perf_counter() - began, step=step, failed=False)


def track(items: Sequence[T], name: str) -> Iterator[T]:
    """Iterate over a sequence and report each step under a name.

    >>> list(track([3, 1, 2], "an example"))
    [3, 1, 2]
    """
    meter = _loops.get()
    if meter is None:
        yield from items
        return
    handle = meter.begin(name, len(items))
    try:
        for item in items:
            yield item
            meter.advance(handle)
    finally:
        meter.end(handle)


@dataclass
class Relay:
    """Hands the jobs of a process on to the meter of another one, by `send`."""

    send: Callable[[dict[str, Any]], None]

    def started(self, name: str) -> None:
        """Send that a job begins."""
        self.send({"name": name})

    def finished(self, name: str, seconds: float, *, step: bool, failed: bool) -> None:
        """Send that a job has ended."""
        self.send({"name": name, "seconds": seconds, "step": step, "failed": failed})


def relayed() -> Callable[[dict[str, Any]], None]:
    """What takes a `Relay`'s messages, from any thread, and shows them on the meter of here and now."""
    meter = _jobs.get()

    def show(message: dict[str, Any]) -> None:
        if meter is not None and "seconds" in message:
            meter.finished(message["name"], message["seconds"], step=message["step"], failed=message["failed"])
        elif meter is not None:
            meter.started(message["name"])

    return show


@dataclass
class _Loop:
    """A loop that runs; `since` is when its first step began that was not found in the store."""

    name: str
    total: int | None
    done: int = 0
    found: int = 0
    since: float = field(default_factory=time.monotonic)

    def advance(self) -> None:
        now = time.monotonic()
        if self.done == self.found and now - self.since < FOUND:
            self.found, self.since = self.found + 1, now
        self.done += 1

    def standing(self, done: int) -> str:
        """How far it is, with the time left where that can be told."""
        if self.total is None:
            return self.name
        done = min(done, self.total)
        made, left = done - self.found, self.total - done
        seconds = (time.monotonic() - self.since) / made * left if made > 0 else 0.0
        return f"{self.name}: {done} of {self.total}" + (f", about {duration(seconds)} left" if seconds else "")


class LogLines:
    """A meter that writes lines, for files and pipes.

    There is a line where the outermost loop or a job begins or ends, and at least one a minute inside the block
    `with LogLines(write) as lines`.

    Args:
        write: takes a line; called from any thread, by one at a time.
        every: seconds after which a line says what still runs.
    """

    def __init__(self, write: Callable[[str], None], every: float = EVERY) -> None:
        self._write, self._every = write, every
        self._lock, self._over = threading.Lock(), threading.Event()
        self._loops: dict[int, _Loop] = {}
        self._jobs: dict[str, float] = {}
        self._handles = 0
        self._spoke = time.monotonic()
        self._beats = threading.Thread(target=self._beat, name="log", daemon=True)

    def __enter__(self) -> LogLines:
        self._beats.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._beats.join()

    def begin(self, name: str, total: int | None) -> int:
        """Say that the outermost loop begins."""
        with self._lock:
            self._handles += 1
            loop = _Loop(name, total)
            if not self._loops and total != 0:
                self._say(loop.standing(0))
            self._loops[self._handles] = loop
            return self._handles

    def advance(self, handle: int) -> None:
        """Count a step."""
        with self._lock:
            self._loops[handle].advance()

    def end(self, handle: int) -> None:
        """Say that the outermost loop found all in the store; of steps that took time, the jobs have told."""
        with self._lock:
            loop = self._loops.pop(handle)
            if not self._loops and loop.done and loop.done == loop.total == loop.found:
                self._say(loop.standing(loop.done))

    def started(self, name: str) -> None:
        """Say that a job begins."""
        with self._lock:
            self._jobs[name] = time.monotonic()
            self._say(f"start: {name}")

    def finished(self, name: str, seconds: float, *, step: bool, failed: bool) -> None:
        """Say that a job has ended, how long it took, and how far the outermost loop is."""
        with self._lock:
            self._jobs.pop(name, None)
            outermost = next(iter(self._loops.values()), None)
            far = f"; {outermost.standing(outermost.done + step)}" if outermost else ""
            self._say(f"{'failed' if failed else 'done'}: {name}, {duration(seconds)}{far}")

    def _say(self, text: str) -> None:
        self._spoke = time.monotonic()
        self._write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}")

    def _beat(self) -> None:
        while not self._over.wait(max(0.0, self._spoke + self._every - time.monotonic())):
            with self._lock:
                if time.monotonic() - self._spoke >= self._every:
                    self._say(f"running: {self._running()}")

    def _running(self) -> str:
        """What runs, from the inside out."""
        now = time.monotonic()
        jobs = [f"{name}, {duration(now - began)} so far" for name, began in self._jobs.items()]
        loops = [loop.standing(loop.done) for loop in self._loops.values()]
        return "; ".join([*reversed(jobs), *reversed(loops)]) or "no training and no attack at the moment"


def duration(seconds: float) -> str:
    """A time span for people.

    >>> [duration(seconds) for seconds in (0.26, 85, 600, 9000)]
    ['0.3 s', '85 s', '10 min', '2 h 30 min']
    """
    if seconds < 120:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours >= 2 else f"{60 * hours + minutes} min"
