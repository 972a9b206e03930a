"""Files that several processes share: locks, and files that are there whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from hashbench.errors import StoreUnusable
from hashbench.progress import waiting

POLL = 0.25  # seconds between two looks at a lock that another process holds


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Give a draft to write to in a block, and put it in the place of a file when the block is over.

    Args:
        path: of the file; its draft lies beside it, under a name with a dot in front.
    """
    draft = path.with_name(f".{path.name}")
    yield draft
    draft.replace(path)


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
