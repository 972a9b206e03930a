from __future__ import annotations

import threading
import time

import pytest

from hashbench.api.progress import progress_shown
from hashbench.progress import LogLines, Relay, duration, job, relayed, shown_on, track, waiting


def said(lines: list[str]) -> list[str]:
    """The lines without their dates and times."""
    return [line.split(" ", 2)[2] for line in lines]


def test_a_log_tells_what_begins_what_ends_and_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("hashbench.progress.time.monotonic", lambda: now[0])
    monkeypatch.setattr("hashbench.progress.time.perf_counter", lambda: now[0])
    lines: list[str] = []
    log = LogLines(lines.append)
    with shown_on(log, log):
        for cell in track(range(5), "cells"):
            if cell < 2:  # found in the store
                continue
            if cell == 2:
                with job("training"):
                    now[0] += 100
            with job(f"cell {cell}", step=True):
                for _ in track(range(3), "attack"):
                    now[0] += 20
    assert said(lines) == [
        "cells: 0 of 5",
        "start: training",
        "done: training, 100 s; cells: 2 of 5",
        "start: cell 2",
        "done: cell 2, 60 s; cells: 3 of 5, about 5 min left",
        "start: cell 3",
        "done: cell 3, 60 s; cells: 4 of 5, about 110 s left",
        "start: cell 4",
        "done: cell 4, 60 s; cells: 5 of 5",
    ]


def test_what_was_all_found_is_said_in_two_lines() -> None:
    lines: list[str] = []
    log = LogLines(lines.append)
    with shown_on(log, log):
        list(track(range(3), "cells"))
        list(track((), "probes"))
    assert said(lines) == ["cells: 0 of 3", "cells: 3 of 3"]


def test_while_something_runs_there_is_a_line_now_and_then() -> None:
    lines: list[str] = []
    with (
        LogLines(lines.append, every=0.05) as log,
        shown_on(log, log),
        job("training"),
        waiting("another run makes a cell"),
    ):
        ended = time.monotonic() + 20
        while sum("training" in line for line in lines) < 5 and time.monotonic() < ended:
            time.sleep(0.01)
    beats = [line for line in said(lines) if line.startswith("running: training, ")]
    assert len(beats) >= 3
    assert beats[-1].endswith(" s so far; another run makes a cell")
    assert not [thread for thread in threading.enumerate() if thread.name == "log"]


def test_a_job_that_raises_has_failed_and_one_that_is_interrupted_says_nothing() -> None:
    lines: list[str] = []
    log = LogLines(lines.append)
    with shown_on(log, log):
        with pytest.raises(ValueError, match="no luck"), job("training", step=True):
            raise ValueError("no luck")
        with pytest.raises(KeyboardInterrupt), job("attack"):
            raise KeyboardInterrupt
    assert said(lines) == ["start: training", "failed: training, 0.0 s", "start: attack"]


def test_jobs_of_a_worker_are_shown_by_the_command_from_any_thread() -> None:
    lines: list[str] = []
    log = LogLines(lines.append)
    with shown_on(log, log):
        show = relayed()
        for _ in track(range(2), "cells"):
            worker = threading.Thread(target=_work, args=(show,))
            worker.start()
            worker.join()
    assert [line.partition(";")[0] for line in said(lines)] == [
        "cells: 0 of 2", "start: a cell", "done: a cell, 0.0 s", "start: a cell", "done: a cell, 0.0 s", "cells: 2 of 2"
    ]  # fmt: skip
    relayed()({"name": "a cell"})  # where nothing is shown
    lines.clear()
    log = LogLines(lines.append)
    with shown_on(log, log):
        relayed()({"name": "a cell", "worker": "added on the way"})
    assert said(lines) == ["start: a cell"]


def _work(show: object) -> None:
    assert callable(show)
    with shown_on(jobs=Relay(show)), job("a cell", step=True):
        list(track(range(3), "batches"))


@pytest.mark.parametrize("terminal", [False, True])
def test_a_script_shows_progress_on_a_terminal_only(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, terminal: bool
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal)
    with progress_shown():
        list(track(range(3), "cells"))
    assert bool(capsys.readouterr().err) == terminal


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(9.94, "9.9 s"), (10, "10 s"), (119.4, "119 s"), (120, "2 min"), (3600, "60 min"), (7140, "119 min"),
     (7200, "2 h 0 min"), (7260, "2 h 1 min")],
)  # fmt: skip
def test_time_spans(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_a_beat_comes_only_when_nothing_was_said_for_long_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    now, lines, waits = [100.0], list[str](), list[float]()
    monkeypatch.setattr("hashbench.progress.time.monotonic", lambda: now[0])
    log = LogLines(lines.append, every=50)
    ends = iter([False, False, False, True])

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        now[0] += 30
        return next(ends)

    monkeypatch.setattr(log._over, "wait", wait)
    log._beat()
    assert waits == [50, 20, 50, 20], "at 130 s it is too early, at 160 s it is time"
    assert said(lines) == ["running: no training and no attack at the moment"]


def test_a_loop_of_unknown_length_and_one_of_more_steps_than_it_said() -> None:
    lines: list[str] = []
    log = LogLines(lines.append)
    handle = log.begin("waiting", None)
    assert log._running() == "waiting"
    log.end(handle)
    handle = log.begin("cells", 1)
    log.advance(handle)
    with shown_on(log, log), job("cell", step=True):
        pass
    assert said(lines)[-1] == "done: cell, 0.0 s; cells: 1 of 1"
