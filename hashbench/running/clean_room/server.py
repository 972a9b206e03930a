"""A process with torch and hashbench loaded but no plugin, which forks one process per task; run by `python -m`.

It reads a time limit in seconds and the path of a task file per line, and answers each with a line when the codes, or
the reason why there are none, have been written next to it.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import time
from pathlib import Path

import torch

from hashbench.errors import HashbenchError
from hashbench.running.clean_room.room import RoomTask, room_codes

CODES, REASON = "codes.pt", "reason.txt"
POLL = 0.02  # seconds between two looks at a process


def main() -> None:
    """Serve tasks until the standard input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a plugin prints must not be taken for an answer
    for line in sys.stdin:
        limit, _, name = line.rstrip("\n").partition(" ")
        child = os.fork()
        if child == 0:
            answers.close()
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # a plugin that reads would wait for the next task
            _carry_out(Path(name))
            os._exit(0)
        if not _ended(child, float(limit)):
            Path(name).with_name(CODES).unlink(missing_ok=True)
            Path(name).with_name(REASON).write_text(f"the process was ended after {limit} s", encoding="utf-8")
        answers.write("done\n")
        answers.flush()


def _ended(child: int, limit: float) -> bool:
    """Wait for a process, and kill it after some seconds; whether it ended before."""
    began = time.monotonic()
    while os.waitpid(child, os.WNOHANG)[0] == 0:
        if time.monotonic() - began > limit:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return False
        time.sleep(POLL)
    return True


def _carry_out(path: Path) -> None:
    try:
        task: RoomTask = pickle.loads(path.read_bytes())  # noqa: S301  # written by the run that started this process
        torch.save(room_codes(task)._asdict(), path.with_name(CODES))
    except HashbenchError as error:
        path.with_name(REASON).write_text(str(error), encoding="utf-8")
    except BaseException as error:  # noqa: BLE001  # whatever a plugin raises
        path.with_name(REASON).write_text(f"{type(error).__name__}: {error}", encoding="utf-8")


if __name__ == "__main__":
    main()
