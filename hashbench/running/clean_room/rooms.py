"""The run's side of the clean room: starts the server when needed, sends it tasks and receives codes."""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
import tempfile
import weakref
from dataclasses import dataclass, field
from pathlib import Path

import torch

from hashbench.errors import BadOutput
from hashbench.running.clean_room.room import RoomCodes, RoomTask
from hashbench.running.clean_room.server import CODES, REASON

SERVER = "hashbench.running.clean_room.server"


@dataclass
class CleanRooms:
    """Clean-room processes, each forked from a server without plugins that the first task starts."""

    _server: list[subprocess.Popen[str]] = field(default_factory=list)

    def codes(self, task: RoomTask) -> RoomCodes:
        """The codes of a task's images, computed in a new process.

        A process that was killed says nothing about the model, so another one tries again, once.

        Raises:
            BadOutput: the process returned no codes; the message says why.
        """
        codes = self._codes(task)
        if codes is None:
            codes = self._codes(task)
        if codes is None:
            raise BadOutput("the process has ended")
        return codes

    def _codes(self, task: RoomTask) -> RoomCodes | None:
        """The same; None if the process was killed."""
        server = self._started()
        with tempfile.TemporaryDirectory(prefix="hashbench-") as folder:
            path = Path(folder, "task")
            path.write_bytes(pickle.dumps(task))
            if server.stdin is None or server.stdout is None:
                raise BadOutput("the clean-room process has no pipes")
            with contextlib.suppress(OSError):
                server.stdin.write(f"{task.limit} {path}\n")
                server.stdin.flush()
                if not server.stdout.readline():
                    server.wait()
            if path.with_name(CODES).is_file():
                return RoomCodes(**torch.load(path.with_name(CODES), weights_only=True))
            reason = path.with_name(REASON)
            if reason.is_file():
                raise BadOutput(reason.read_text(encoding="utf-8"))
            return None

    def _started(self) -> subprocess.Popen[str]:
        if not self._server or self._server[0].poll() is not None:
            places = os.pathsep.join(str(Path(place or ".").resolve()) for place in sys.path)
            server = subprocess.Popen(
                [sys.executable, "-P", "-m", SERVER],  # without -P, a file of the working folder would be imported
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                env={**os.environ, "PYTHONPATH": places},
            )
            self._server[:] = [server]
            weakref.finalize(self, _stop, server)
        return self._server[0]


def _stop(server: subprocess.Popen[str]) -> None:
    for pipe in (server.stdin, server.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
    server.wait()
