"""What of an image file goes to its decoder: what decides pixels, in amounts that take seconds at most.

Decoders walk through all parts of a file before and between the pixels, and some take hours or gigabytes for parts
that no picture needs: thousands of scans of a JPEG file, millions of empty chunks of a PNG file.
"""

from __future__ import annotations

import re

from hashbench.errors import BadInput
from hashbench.readers.folders import MEGABYTE

SCANS = 100  # of a JPEG file; progressive ones have some ten
CHUNKS = 100_000  # of a PNG file, or markers of a JPEG file from its pixels on
GIF_BYTES = 4 * MEGABYTE  # Pillow keeps a GIF file's comments in pieces, and takes up to 50 times as much for them
_PNG, _SOI, _EOI, _SOS = b"\x89PNG\r\n\x1a\n", b"\xff\xd8", 0xD9, 0xDA
_BIG_TIFF = (b"II+\0", b"MM\0+")
_KEPT = frozenset({0xE0, 0xEE})  # JFIF and Adobe: they say which colours the channels are
_DROPPED = frozenset({*range(0xE0, 0xF0), 0xFE}) - _KEPT  # EXIF, XMP, profiles, further pictures, comments
_ALONE = frozenset({0x01, *range(0xD0, 0xD8)})  # markers without a length
_MARKER = re.compile(
    rb"\xff[\x01-\xcf\xd8-\xfe]"
)  # none of pixels: FF itself is FF 00 there, and restarts are left out


def lean(content: bytes, name: str) -> bytes:
    """An image file without the parts that decide no pixel, where it is a JPEG file; others as they are.

    Args:
        name: of the file, for messages.

    Raises:
        BadInput: it has more than SCANS scans, more than CHUNKS chunks or markers, is a GIF file of more than
            GIF_BYTES, or a TIFF file of the kind for more than 4 GB.
    """
    if content.startswith(_SOI):
        return _lean_jpeg(content, name)
    if content.startswith(_PNG):
        _check_chunks(content, name)
    elif content.startswith(b"GIF8") and len(content) > GIF_BYTES:
        raise BadInput(f"{name} is a GIF file of more than {GIF_BYTES >> 20} MB; save it as PNG")
    elif content.startswith(_BIG_TIFF):
        raise BadInput(f"{name} is a BigTIFF file; save it as PNG or as a plain TIFF")
    return content


def _lean_jpeg(content: bytes, name: str) -> bytes:
    """The file without the parts before its pixels that do not affect them, and without what follows its end."""
    parts, place = [content[:2]], 2
    while place + 4 <= len(content) and content[place] == 0xFF:
        marker = content[place + 1]
        if marker == 0xFF or marker in _ALONE:  # a filler, or a marker alone
            size = 1 if marker == 0xFF else 2
        elif marker == _SOS:
            break
        else:
            size = 2 + int.from_bytes(content[place + 2 : place + 4], "big")
        if marker not in _DROPPED:
            parts.append(content[place : place + size])
        place += size
    scans, end = _scans_and_end(content, place, name)
    if scans > SCANS:
        raise BadInput(f"{name} is a JPEG file of {scans} scans; {SCANS} is the most that is decoded, save it again")
    return b"".join([*parts, content[place:end]])


def _scans_and_end(content: bytes, place: int, name: str) -> tuple[int, int]:
    """How many scans a JPEG file has from a place on, and the place behind its end; whatever comes there is no part.

    Markers below C0 are taken for ones without a length, since decoders skip them so where they look for a restart.
    """
    scans = 0
    for _ in range(CHUNKS):
        found = _MARKER.search(content, place)
        if found is None:
            return scans, len(content)
        marker, place = content[found.end() - 1], found.end()
        if marker == _EOI:
            return scans, place
        scans += marker == _SOS
        if marker > _EOI or 0xC0 <= marker < 0xD0:
            place += max(2, int.from_bytes(content[place : place + 2], "big"))
    raise BadInput(f"{name} is a JPEG file of more than {CHUNKS:,} markers; save it again")


def _check_chunks(content: bytes, name: str) -> None:
    place = len(_PNG)
    for _ in range(CHUNKS):
        if place >= len(content):
            return
        place += 12 + int.from_bytes(content[place : place + 4], "big")
    raise BadInput(f"{name} is a PNG file of more than {CHUNKS:,} chunks; save it again")
