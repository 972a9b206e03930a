"""Locks on the things of a store, so that several processes make each of them once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from hashbench.errors import StoreUnusable
from hashbench.progress import waiting

POLL = 0.25  # seconds between two looks at a lock that another process holds


@contextmanager
def held(path: Path, what: str) -> Iterator[None]:
    """Run a block while no other process or machine holds the same lock; waits for it.

    The operating system frees the lock when its process dies, however it dies. The file stays: to remove
    it would let two processes lock two files of one name.

    Args:
        path: the lock's file, in a folder that all processes share.
        what: what a terminal shows while another process is making it.

    Raises:
        StoreUnusable: the file can't be made.
    """
    try:
        path.parent.mkdir(exist_ok=True)
        lock = FileLock(path)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            with waiting(f"another run makes {what}"):
                lock.acquire(poll_interval=POLL)
    except OSError as error:
        raise StoreUnusable(f"can't lock {path} ({error.strerror}); choose another folder with --store") from None
    try:
        yield
    finally:
        lock.release()
