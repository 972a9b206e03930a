"""Files of a foreign folder: regular ones inside it only, read up to a limit, whatever else lies there.

A folder from outside may hold links to anywhere, named pipes that never end, devices, and files that grow
while they are read. Nothing here follows a link below `inside`, and sizes are those of what was read.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import stat
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from hashbench.errors import BadInput
from hashbench.readers.text import printable

MEGABYTE = 1 << 20
CHUNK = MEGABYTE  # bytes of one read
FILES = 100_000  # entries of one folder and all below
DEPTH = 8  # folders inside one another
LONGEST = 255  # bytes of a name
_KINDS = {
    stat.S_IFLNK: "a link", stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket", stat.S_IFDIR: "a folder",
    stat.S_IFCHR: "a device", stat.S_IFBLK: "a device",
}  # fmt: skip
_OPEN = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY


@dataclass(frozen=True)
class Listing:
    """The files below a folder by their names from it, sorted, and a line for each odd entry or one that is no file."""

    files: tuple[str, ...]
    odd: tuple[str, ...]


@contextmanager
def open_regular(path: Path, inside: Path | None = None) -> Iterator[BinaryIO]:
    """A regular file, open for reading.

    Args:
        inside: the foreign folder that the file belongs to; no link below it is followed. Without one the
            path is the user's own, and links are.

    Raises:
        BadInput: it is not there, can't be read, is not a regular file, is behind a link, or lies outside.
    """
    name = shown_path(path)
    try:
        descriptor = _descriptor(path, inside, name)
    except FileNotFoundError:
        raise BadInput(f"{name} is not there; check the path, or copy it again") from None
    except OSError as error:
        raise BadInput(f"{name} can't be read ({error.strerror}); check the path, or copy it again") from None
    except ValueError:
        raise BadInput(f"{name} can't be the path of a file; give another one") from None
    with os.fdopen(descriptor, "rb") as file:
        yield file


def read_bytes(path: Path, limit: int, inside: Path | None = None) -> bytes:
    """What a regular file holds.

    Args:
        limit: bytes; counted as they are read, so that a file that lies about its size is refused too.
        inside: as of `open_regular`.

    Raises:
        BadInput: as of `open_regular`, or the file is larger than `limit`.
    """
    return b"".join(_chunks(path, limit, inside))


def read_text(path: Path, limit: int, inside: Path | None = None) -> str:
    """What a regular file holds as UTF-8 text, line breaks as they are.

    Raises:
        BadInput: as of `read_bytes`, it is not UTF-8, or it holds NUL.
    """
    return decode(read_bytes(path, limit, inside), shown_path(path))


def decode(content: bytes, name: str) -> str:
    """Bytes as UTF-8 text without NUL and without a byte order mark.

    Raises:
        BadInput: they are none.
    """
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadInput(f"{name} is not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    if text.startswith("\ufeff"):
        raise BadInput(f"{name} starts with a byte order mark; save it as UTF-8 without one")
    if "\0" in text:
        raise BadInput(f"{name} holds the character NUL (place {text.index(chr(0))}); it is not text")
    return text


def sha256(path: Path, limit: int, inside: Path | None = None) -> str:
    """The SHA-256 of a regular file in hexadecimal, without holding it in memory.

    Raises:
        BadInput: as of `read_bytes`.
    """
    found = hashlib.sha256()
    for chunk in _chunks(path, limit, inside):
        found.update(chunk)
    return found.hexdigest()


def list_files(folder: Path, limit: int = FILES) -> Listing:
    """All entries below a folder; no link is followed, and nothing is opened.

    Raises:
        BadInput: the folder can't be read, holds more than `limit` entries, or folders nested deeper than DEPTH.
    """
    files: list[str] = []
    odd: list[str] = []
    waiting = [("", 0)]
    count = 0
    while waiting:
        prefix, depth = waiting.pop()
        if depth > DEPTH:
            raise BadInput(f"{shown_path(folder)} nests folders deeper than {DEPTH}; leave out what is not part of it")
        for name, mode in _entries(folder / prefix, limit):
            count += 1
            if count > limit:
                raise BadInput(f"{shown_path(folder)} holds more than {limit} files; leave out what is not part of it")
            place = f"{prefix}{name}"
            if reason := _odd_name(name):
                odd.append(f"{printable(place)} {reason}")
            elif stat.S_ISDIR(mode):
                waiting.append((f"{place}/", depth + 1))
            elif stat.S_ISREG(mode):
                files.append(place)
            else:
                odd.append(f"{printable(place)} is {_kind(mode)}; only plain files are read")
    return Listing(tuple(sorted(files)), tuple(sorted(odd)))


def folders_with(root: Path, names: Collection[str]) -> list[Path]:
    """The folders at or below a folder that have an entry of one of some names, sorted.

    No link is followed; what lies deeper than DEPTH, or can't be read, is left out, so that one folder can't keep
    the others from being found.
    """
    found: list[Path] = []
    waiting = [(root, 0)]
    while waiting:
        folder, depth = waiting.pop()
        try:
            entries = _entries(folder, FILES)
        except BadInput:
            continue
        if any(name in names for name, _ in entries):
            found.append(folder)
        if depth < DEPTH:
            waiting += [(folder / name, depth + 1) for name, mode in entries if stat.S_ISDIR(mode)]
    return sorted(found)


def shown_path(path: Path) -> str:
    """A path as messages name it."""
    return printable(str(path))


def _chunks(path: Path, limit: int, inside: Path | None) -> Iterator[bytes]:
    """The parts of a regular file, until it ends or is found to be too large."""
    with open_regular(path, inside) as file:
        size, read = os.fstat(file.fileno()).st_size, 0
        while size <= limit:
            try:
                chunk = file.read(min(CHUNK, limit - read + 1))
            except OSError as error:
                raise BadInput(f"{shown_path(path)} can't be read ({error.strerror}); copy it again") from None
            read += len(chunk)
            size = max(size, read)
            if read > limit:
                break
            if not chunk:
                return
            yield chunk
    raise BadInput(f"{shown_path(path)} is larger than {_size(limit)}, the most that is read; is it another file?")


def _descriptor(path: Path, inside: Path | None, name: str) -> int:
    """The open descriptor of a regular file; its kind is looked at before and after, so that no swap helps."""
    if inside is None:
        _refuse_irregular(os.stat(path).st_mode, name)  # noqa: PTH116
        found = os.open(path, _OPEN)
    else:
        found = _below(path, inside, name)
    try:
        _refuse_irregular(os.fstat(found).st_mode, name)
    except BadInput:
        os.close(found)
        raise
    return found


def _below(path: Path, inside: Path, name: str) -> int:
    try:
        parts = path.relative_to(inside).parts
    except ValueError:
        parts = ()
    if not parts or ".." in parts:
        raise BadInput(f"{name} lies outside of {shown_path(inside)}; only files inside it are read")
    if odd := next((reason for part in parts if (reason := _odd_name(part))), None):
        raise BadInput(f"{name} {odd}")
    folder = os.open(inside, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in parts[:-1]:
            mode = os.stat(part, dir_fd=folder, follow_symlinks=False).st_mode
            if not stat.S_ISDIR(mode):
                raise BadInput(f"{name} lies behind {_kind(mode)}, which is not followed; put a folder there")
            inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
            os.close(folder)
            folder = inner
        _refuse_irregular(os.stat(parts[-1], dir_fd=folder, follow_symlinks=False).st_mode, name)
        return os.open(parts[-1], _OPEN | os.O_NOFOLLOW, dir_fd=folder)
    finally:
        os.close(folder)


def _entries(folder: Path, limit: int) -> list[tuple[str, int]]:
    try:
        with os.scandir(folder) as entries:
            some = itertools.islice(entries, limit + 1)  # one too many is enough to refuse
            return [(entry.name, entry.stat(follow_symlinks=False).st_mode) for entry in some]
    except OSError as error:
        raise BadInput(f"{shown_path(folder)} can't be read ({error.strerror}); name a folder") from None


def _refuse_irregular(mode: int, name: str) -> None:
    if not stat.S_ISREG(mode):
        raise BadInput(f"{name} is {_kind(mode)}, which is not opened; put a plain file there")


def _odd_name(name: str) -> str:
    """What is wrong with a file's name; empty where nothing is."""
    if printable(name, LONGEST + 1) != name:
        return "has a control character or undecodable bytes in its name; give it a plain one"
    return "has too long a name; give it a short one" if len(os.fsencode(name)) > LONGEST else ""


def _kind(mode: int) -> str:
    return _KINDS.get(stat.S_IFMT(mode), "no plain file")


def _size(limit: int) -> str:
    return f"{limit >> 20} MB" if limit >= MEGABYTE else f"{limit} bytes"
