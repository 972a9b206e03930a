"""Files that several processes share: locks, and files that are written whole or not at all."""

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
    """Yield the path of a draft, and replace a file with it when the block ends.

    Args:
        path: the file; its draft is next to it, with a dot before its name.
    """
    draft = path.with_name(f".{path.name}")
    yield draft
    draft.replace(path)


@contextmanager
def held(path: Path, what: str) -> Iterator[None]:
    """Hold a lock during a block; waits while another process or machine holds it.

    The operating system frees the lock when its process dies, however it dies. The file stays: removing
    it would let two processes lock two files of the same name.

    Args:
        path: the lock file, in a folder that all processes share.
        what: what the other process is making, shown in the terminal while waiting.

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
