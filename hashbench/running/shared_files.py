"""Files that several processes share: locks, and files and folders that are written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from filelock import FileLock, Timeout
from safetensors import SafetensorError

from hashbench.errors import StoreUnusable
from hashbench.progress import waiting
from hashbench.readers.text import printable

POLL = 0.25  # seconds between two looks at a lock that another process holds
DRAFT = ".writing-"  # begins the names of folders that are not complete
RETIRED = "="  # in the name of a draft that was moved aside, before its own name
ABANDONED = 3600  # seconds
ATTEMPTS = 3  # to put a folder in its place, where others put theirs at the same moment

T = TypeVar("T")


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Yield the path of a draft of one's own, an empty file, and replace a file with it when the block ends.

    Args:
        path: the file; its draft is next to it, with a dot before its name, and a number where others write it too.
    """
    draft = _draft(path)
    try:
        yield draft
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def _draft(path: Path) -> Path:
    """A new empty file beside one; drafts of killed processes are taken away, an hour old or older."""
    draft, number = path.with_name(f".{path.name}"), 1
    while True:
        with contextlib.suppress(FileNotFoundError):
            if time.time() - draft.lstat().st_mtime > ABANDONED:
                draft.unlink()
        with contextlib.suppress(FileExistsError):
            draft.touch(exist_ok=False)
            return draft
        number += 1
        draft = path.with_name(f".{number}.{path.name}")


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


def written_folder(target: Path, write: Callable[[Path], T]) -> T:
    """Write a folder under a temporary name, and rename it when it is complete, in place of an older one.

    Raises:
        StoreUnusable: it can't be written; an older one stays as it is.
    """
    draft = None
    try:
        draft = Path(tempfile.mkdtemp(prefix=DRAFT, dir=target.parent))
        written = write(draft)
        draft.chmod(0o755)
        _replace(target, draft)
    except (OSError, SafetensorError) as error:
        if draft:
            shutil.rmtree(draft, ignore_errors=True)
        why = (error.strerror if isinstance(error, OSError) else None) or " ".join(str(error).split())
        raise StoreUnusable(
            f"can't write {printable(str(target))} ({why}); free some space or choose another folder with --store"
        ) from None
    return written


def _replace(target: Path, draft: Path) -> None:
    """Put a complete folder in the place of another one, which goes back where that fails; see `put_right`."""
    retired: Path | None = None
    for attempt in range(ATTEMPTS):
        if target.exists():
            retired = target.rename(draft.with_name(f"{draft.name}-{attempt}{RETIRED}{target.name}"))
        try:
            draft.rename(target)
        except OSError as error:
            if error.errno in (errno.EEXIST, errno.ENOTEMPTY) and attempt + 1 < ATTEMPTS:
                continue  # another process has put a folder there meanwhile
            if retired and not target.exists():
                retired.rename(target)
            raise
        break
    for old in draft.parent.glob(f"{draft.name}-*"):
        shutil.rmtree(old, ignore_errors=True)


def put_right(folder: Path) -> None:
    """Put back what killed processes had moved aside in a folder, and remove their drafts, an hour old or older."""
    for draft in folder.glob(f"{DRAFT}*"):
        target = draft.name.partition(RETIRED)[2]
        with contextlib.suppress(OSError):
            if target and not draft.with_name(target).exists():
                draft.rename(draft.with_name(target))
            elif time.time() - draft.stat().st_mtime > ABANDONED:
                shutil.rmtree(draft)
