"""A process with torch and hashbench loaded but no plugin, which forks one process per task; run by `python -m`.

It reads one path of a task file per line, and answers each with a line when the codes, or the reason why there
are none, have been written next to it.
"""

from __future__ import annotations

import os
import pickle
import sys
from pathlib import Path

import torch

from hashbench.errors import HashbenchError
from hashbench.running.clean_room.room import RoomTask, room_codes

CODES, REASON = "codes.pt", "reason.txt"


def main() -> None:
    """Serve tasks until the standard input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a plugin prints must not be taken for an answer
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            answers.close()
            _carry_out(Path(line.rstrip("\n")))
            os._exit(0)
        os.waitpid(child, 0)
        answers.write("done\n")
        answers.flush()


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
