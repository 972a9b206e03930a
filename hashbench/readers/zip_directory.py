"""The directory of a zip archive, read strictly: what lies where, before a byte of it is unpacked.

Only what numpy and common tools write is taken: one directory at the very end, no comment after it, members of
less than 4 GB that are stored or deflated, that do not overlap and whose own headers agree with the directory.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from hashbench.errors import BadInput
from hashbench.readers.text import printable, shown

STORED, DEFLATED = 0, 8
NAMED = 100  # characters of a member's name
WIDE = 0xFFFFFFFF  # where zip64 has a size elsewhere
ENCRYPTED = 0x0001 | 0x0040 | 0x2000  # flags
DENSEST = 1032  # times its length that a deflated stream can unpack to
CHUNK = 1 << 18  # bytes unpacked at once
METHODS = {1: "shrink", 6: "implode", 9: "deflate64", 12: "bzip2", 14: "LZMA", 93: "Zstandard", 95: "XZ", 99: "AES"}
_END, _CENTRAL, _LOCAL = b"PK\x05\x06", b"PK\x01\x02", b"PK\x03\x04"
_END_FORM = struct.Struct("<4s4H2LH")
_CENTRAL_FORM = struct.Struct("<4s6H3L5H2L")
_LOCAL_FORM = struct.Struct("<4s5H3L2H")


@dataclass(frozen=True)
class Member:
    """A file of the archive: where its packed bytes start and end, and what they unpack to."""

    name: str
    method: int
    start: int
    packed: int
    size: int
    checksum: int


def read_directory(file: BinaryIO, length: int, most: int, source: str) -> list[Member]:
    """The members of an archive in the order of their places.

    Args:
        file: the archive; its position afterwards is undefined.
        length: its size in bytes.
        most: the most members that it may have.
        source: its name, for messages.

    Raises:
        BadInput: it is not a zip archive, has more members, or one that is encrypted, packed by another method,
            oddly named, named twice, larger than 4 GB, or overlapping another.
    """
    file.seek(max(0, length - _END_FORM.size))
    end = file.read(_END_FORM.size)
    if len(end) < _END_FORM.size or not end.startswith(_END):
        raise BadInput(
            f"{source} is damaged or no .npz file of plain arrays (no directory at its end); write it with numpy.savez"
        )
    _, disk, first_disk, here, count, size, offset, comment = _END_FORM.unpack(end)
    if disk or first_disk or here != count or comment or offset + size + _END_FORM.size != length:
        raise BadInput(f"{source} has a zip directory that contradicts itself; write it with numpy.savez")
    if count > most:
        raise BadInput(f"{source} has {count} members; {most} is the most that is read")
    if size > count * (_CENTRAL_FORM.size + 2 * NAMED + 128):
        raise BadInput(f"{source} has a zip directory of {size} bytes for {count} members; give arrays short names")
    file.seek(offset)
    members = [_locate(file, entry, source) for entry in _entries(file.read(size), count, source)]
    if len({member.name for member in members}) < count:
        raise BadInput(f"{source} has two members of one name; write it with numpy.savez")
    return _apart(sorted(members, key=lambda member: member.start), offset, source)


def unpack(file: BinaryIO, member: Member, source: str) -> Iterator[bytes]:
    """The bytes of a member in parts, exactly as many as it declares.

    Raises:
        BadInput: it holds fewer or more, its stream is broken, or its checksum is another.
    """
    file.seek(member.start)
    left, read, checksum = member.packed, 0, 0
    stream = zlib.decompressobj(-15) if member.method == DEFLATED else None
    waiting = b""
    try:
        while True:
            if not waiting and left:
                waiting = file.read(min(CHUNK, left))
                left = left - len(waiting) if waiting else 0
            part = stream.decompress(waiting, CHUNK) if stream else waiting
            waiting = stream.unconsumed_tail if stream else b""
            if not part and not waiting and not left:
                break
            read += len(part)
            if read > member.size or (stream and stream.eof and (waiting or left)):
                raise BadInput(f"{source}: {shown(member.name)} unpacks to another size than it declares")
            checksum = zlib.crc32(part, checksum)
            yield part
    except zlib.error:
        raise BadInput(f"{source}: {shown(member.name)} is damaged; copy the file again") from None
    except OSError as error:
        raise BadInput(f"{source} can't be read ({error.strerror}); copy it again") from None
    if read != member.size or (stream and (not stream.eof or stream.unused_data)):
        raise BadInput(f"{source}: {shown(member.name)} unpacks to another size than it declares")
    if checksum != member.checksum:
        raise BadInput(f"{source}: {shown(member.name)} is damaged (its checksum is another); copy the file again")


@dataclass(frozen=True)
class _Entry:
    """A member as the directory has it."""

    name: bytes
    flags: int
    method: int
    checksum: int
    packed: int
    size: int
    offset: int


def _entries(directory: bytes, count: int, source: str) -> Iterator[_Entry]:
    place = 0
    for _ in range(count):
        head = directory[place : place + _CENTRAL_FORM.size]
        if len(head) < _CENTRAL_FORM.size or not head.startswith(_CENTRAL):
            raise BadInput(f"{source} has a damaged zip directory; copy it again")
        (
            _, _, _, flags, method, _, _, checksum, packed, size, name_size, extra, comment, _, _, _, offset,
        ) = _CENTRAL_FORM.unpack(head)  # fmt: skip
        place += _CENTRAL_FORM.size
        name = directory[place : place + name_size]
        place += name_size + extra + comment
        yield _Entry(name, flags, method, checksum, packed, size, offset)
    if place != len(directory):
        raise BadInput(f"{source} has a zip directory that contradicts itself; write it with numpy.savez")


def _locate(file: BinaryIO, entry: _Entry, source: str) -> Member:
    """Where an entry's bytes are, after it and its own header were looked at."""
    name = _name(entry, source)
    label = f"{source}: {shown(name)}"
    if entry.flags & ENCRYPTED:
        raise BadInput(f"{label} is encrypted; write the file with numpy.savez")
    if entry.method not in (STORED, DEFLATED):
        method = METHODS.get(entry.method, f"method {entry.method}")
        raise BadInput(f"{label} is packed by {method}; write the file with numpy.savez or savez_compressed")
    if WIDE in (entry.packed, entry.size, entry.offset):
        raise BadInput(f"{label} claims 4 GB or more; no such file is read")
    if entry.method == STORED and entry.packed != entry.size:
        raise BadInput(f"{label} is stored with {entry.packed} bytes and claims {entry.size}; copy the file again")
    if entry.size > DENSEST * (entry.packed + 1):
        raise BadInput(f"{label} claims to unpack to more than its bytes can hold; copy the file again")
    file.seek(entry.offset)
    head = file.read(_LOCAL_FORM.size)
    if len(head) < _LOCAL_FORM.size or not head.startswith(_LOCAL):
        raise BadInput(f"{label} is not where the directory says; copy the file again")
    _, _, flags, method, _, _, _, _, _, name_size, extra = _LOCAL_FORM.unpack(head)
    agrees = (name_size, method, flags & ENCRYPTED) == (len(entry.name), entry.method, 0)
    if not agrees or file.read(name_size) != entry.name:
        raise BadInput(f"{label} has a header of its own that contradicts the directory; copy the file again")
    start = entry.offset + _LOCAL_FORM.size + name_size + extra
    return Member(name, entry.method, start, entry.packed, entry.size, entry.checksum)


def _apart(members: list[Member], end: int, source: str) -> list[Member]:
    """The members, if none reaches into the header or the bytes of the next one, or into the directory."""
    for at, member in enumerate(members):
        following = members[at + 1] if at + 1 < len(members) else None
        free = following.start - _LOCAL_FORM.size - len(following.name) if following else end
        if member.start + member.packed > free:
            raise BadInput(f"{source}: {shown(member.name)} overlaps what follows it; copy the file again")
    return members


def _name(entry: _Entry, source: str) -> str:
    if len(entry.name) > NAMED:
        start = printable(entry.name[:NAMED].decode("ascii", "replace"), 40)
        raise BadInput(f"{source} has a member with a name of {len(entry.name)} characters ({start}); give a short one")
    try:
        name = entry.name.decode("utf-8")
    except UnicodeDecodeError:
        name = ""
    if not name or printable(name) != name or "/" in name or "\\" in name or name.startswith("."):
        raise BadInput(f"{source} has a member called {shown(name)}; give arrays plain names")
    return name
