"""A process that imports what workers need while the command itself is still at that; workers are forked from it."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from multiprocessing import forkserver, resource_tracker

METHOD = "forkserver"
PRELOADED = ["hashbench.running.cluster.tasks", "torch._dynamo"]  # the first optimiser of a process imports the latter

# Workers keep the memory that they free. Dask lets them give it back at once, and a training that asks for the same
# tensors again spends half its time in the kernel. Libraries of linear algebra start no threads when they are imported.
# As in the command itself, a module is not looked for in the working folder, where a download may hold its name.
ENVIRONMENT = {
    "MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str(1 << 30),
    "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1",
    "PYTHONSAFEPATH": "1",
}  # fmt: skip


def begin() -> None:
    """Start the process, unless it runs, and don't wait for it; it ends with this one.

    Ctrl-C in a terminal reaches all processes of a command. It is blocked in this one and in the workers, so that only
    the command itself answers it, and ends them.
    """
    multiprocessing.set_forkserver_preload(PRELOADED)
    with environment(ENVIRONMENT):
        resource_tracker.ensure_running()  # it would end the block of signals
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            forkserver.ensure_running()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)


@contextmanager
def environment(more: Mapping[str, str]) -> Iterator[None]:
    """A block with further environment variables, where they are not set; after it all are as before."""
    before = dict(os.environ)
    os.environ.update({name: value for name, value in more.items() if name not in before})
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)
