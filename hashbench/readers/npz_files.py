"""Arrays of numpy from anyone: sizes, names and types are judged before memory is taken, and nothing is executed."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from numpy.typing import NDArray

from hashbench.errors import BadInput
from hashbench.readers.folders import open_regular, shown_path
from hashbench.readers.npy_header import HEAD, KINDS, Header, check_values, read_header
from hashbench.readers.text import shown
from hashbench.readers.zip_directory import Member, read_directory, unpack

LARGEST = 1 << 29  # bytes of the arrays of one file
MEMBERS = 256
SUFFIX = ".npy"


def read_arrays(
    path: Path,
    limit_bytes: int = LARGEST,
    allowed: Collection[str] | None = None,
    *,
    wanted: Collection[str] | None = None,
    kinds: str = KINDS,
    inside: Path | None = None,
) -> dict[str, NDArray[Any]]:
    """The arrays of an .npz file by name, as numpy.load gives them.

    Read are booleans, numbers of at most 8 bytes and text, stored or deflated, in C or in Fortran order, in files of
    at most MEMBERS arrays. Memory is taken for what is returned only, after the headers of all were judged.

    Args:
        limit_bytes: of the file, and of all its arrays together when unpacked.
        allowed: the names that it may have; any by default.
        wanted: the names that it must have, and that alone are unpacked; all by default.
        kinds: numpy's letters for the kinds of arrays that are taken, of KINDS.
        inside: the foreign folder that the file belongs to, as of `open_regular`.

    Raises:
        BadInput: the file is missing, is not such an archive, lies about its sizes, is damaged, encrypted or too large,
            has too many members or odd names, holds Python objects or records, or lacks a wanted array.
    """
    source = shown_path(path)
    with open_regular(path, inside) as file:
        length = _length(file, limit_bytes, source)
        members = {_array_name(member, source): member for member in read_directory(file, length, MEMBERS, source)}
        if odd := sorted(members.keys() - set(members if allowed is None else allowed)):
            raise BadInput(f"{source} has the array {shown(odd[0])}, which does not belong there; leave it out")
        if missing := [name for name in wanted or () if name not in members]:
            found = shown(", ".join(members) or "nothing")
            raise BadInput(f"{source} lacks {', '.join(missing)}; it has {found}")
        _check_total(sum(member.size for member in members.values()), limit_bytes, source)
        chosen = {name: member for name, member in members.items() if wanted is None or name in wanted}
        labels = {name: f"{source}: {shown(name)}" for name in chosen}
        headers = {name: _header(file, member, kinds, limit_bytes, labels[name]) for name, member in chosen.items()}
        return {name: _array(file, chosen[name], header, labels[name], source) for name, header in headers.items()}


def read_array(
    path: Path, limit_bytes: int = LARGEST, *, kinds: str = KINDS, inside: Path | None = None
) -> NDArray[Any]:
    """The array of a plain .npy file; limits and refusals are those of `read_arrays`.

    Raises:
        BadInput: as of `read_arrays`.
    """
    source = shown_path(path)
    with open_regular(path, inside) as file:
        length = _length(file, limit_bytes, source)
        header = read_header(_read(file, HEAD, source), kinds, limit_bytes, source)
        if header.offset + header.size != length:
            raise BadInput(f"{source} has {length - header.offset} bytes of data for {header.size}; copy it again")
        file.seek(header.offset)
        data = bytearray(header.size)
        _fill(data, _parts(file, header.size, source), 0, source)
    array = header.array(data)
    check_values(array, source)
    return array


def _length(file: BinaryIO, limit: int, source: str) -> int:
    length = os.fstat(file.fileno()).st_size
    if length > limit:
        raise BadInput(f"{source} has {length >> 20} MB; {limit >> 20} MB is the most that is read")
    return length


def _check_total(total: int, limit: int, source: str) -> None:
    if total > limit:
        raise BadInput(f"{source} unpacks to {total >> 20} MB; {limit >> 20} MB is the most that is read")


def _array_name(member: Member, source: str) -> str:
    if not member.name.endswith(SUFFIX) or member.name == SUFFIX:
        raise BadInput(f"{source} has {shown(member.name)} in it, which is not an array; write it with numpy.savez")
    return member.name.removesuffix(SUFFIX)


def _header(file: BinaryIO, member: Member, kinds: str, limit: int, label: str) -> Header:
    head = b""
    for part in unpack(file, member, label):
        head += part
        if len(head) >= HEAD:
            break
    header = read_header(head, kinds, limit, label)
    if header.offset + header.size != member.size:
        raise BadInput(f"{label} has {member.size - header.offset} bytes of data for {header.size}; copy it again")
    return header


def _array(file: BinaryIO, member: Member, header: Header, label: str, source: str) -> NDArray[Any]:
    data = bytearray(header.size)
    _fill(data, unpack(file, member, source), header.offset, label)
    array = header.array(data)
    check_values(array, label)
    return array


def _fill(data: bytearray, parts: Iterator[bytes], skipped: int, label: str) -> None:
    """Put the parts into the data, without the first bytes, which are the header's."""
    place = -skipped
    for part in parts:
        kept = part[max(0, -place) :]
        start = max(0, place)
        if start + len(kept) > len(data):
            raise BadInput(f"{label} unpacks to another size than it declares")
        data[start : start + len(kept)] = kept
        place += len(part)
    if place != len(data):
        raise BadInput(f"{label} unpacks to another size than it declares")


def _parts(file: BinaryIO, size: int, source: str) -> Iterator[bytes]:
    left = size
    while left and (part := _read(file, min(left, 1 << 20), source)):
        left -= len(part)
        yield part


def _read(file: BinaryIO, size: int, source: str) -> bytes:
    try:
        return file.read(size)
    except OSError as error:
        raise BadInput(f"{source} can't be read ({error.strerror}); copy it again") from None
