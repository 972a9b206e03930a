"""The header of a .npy file or member, read without evaluating anything: type, order and shape of an array."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashbench.errors import BadInput
from hashbench.readers.text import shown

MAGIC = b"\x93NUMPY"
LONGEST = 10_000  # characters of a header
HEAD = 12 + LONGEST  # bytes that hold magic, version, length and header
DIMENSIONS = 8
KINDS = "biufU"  # booleans, numbers, text
WIDEST = 8  # bytes of a number
# One key with its value; possessive, so that a broken header takes no longer than a good one.
_PAIR = re.compile(
    r"""\s*+(['"])(descr|fortran_order|shape)\1\s*+:\s*+
    (?:(['"])(?P<text>[^'"\\]*+)\3|(?P<truth>True|False)|\((?P<tuple>[\dL,\s-]*+)\)|(?P<structured>\[))\s*+(,|$)""",
    re.VERBOSE | re.ASCII,
)
_TYPE = re.compile(r"[<>=|]?([a-zA-Z?])(\d{0,9})(?:\[.*\])?", re.ASCII)
_SIZE = re.compile(r"-?\d{1,18}L?", re.ASCII)


@dataclass(frozen=True)
class Header:
    """What a .npy file says of its array; the data start at `offset` and take `size` bytes."""

    dtype: np.dtype[Any]
    fortran: bool
    shape: tuple[int, ...]
    offset: int
    size: int

    def array(self, data: bytearray) -> NDArray[Any]:
        """The array of the data, without a copy."""
        return np.frombuffer(data, self.dtype).reshape(self.shape, order="F" if self.fortran else "C")


def read_header(head: bytes, kinds: str, limit: int, name: str) -> Header:
    """What the first bytes of a .npy file say.

    Args:
        head: at least its first HEAD bytes, or all of it.
        kinds: numpy's letters for the kinds of arrays that are taken, of KINDS.
        limit: bytes of the array.
        name: of file and member, for messages.

    Raises:
        BadInput: it is not one, or the array holds Python objects, records or another kind, has an absurd shape or
            is larger than `limit`.
    """
    text, offset = _header_text(head, name)
    pairs = _pairs(text, name)
    dtype = _dtype(pairs["descr"], kinds, name)
    shape = _shape(pairs["shape"].group("tuple"), name)
    cells = math.prod(max(1, side) for side in shape)  # an empty array may still have sides that nothing can sum over
    if cells * dtype.itemsize > limit:
        raise BadInput(f"{name} claims an array of {_sides(shape)} {dtype}; {limit >> 20} MB is the most that is read")
    truth = pairs["fortran_order"].group("truth")
    if truth is None:
        raise BadInput(f"{name} has a damaged header (fortran_order); write it with numpy.save")
    return Header(dtype, truth == "True", shape, offset, math.prod(shape) * dtype.itemsize)


def check_values(array: NDArray[Any], name: str) -> None:
    """Refuse booleans that are neither 0 nor 1, and text that is not text; numpy takes both as they are.

    Raises:
        BadInput: there is such a value.
    """
    if array.dtype.kind == "b":
        damaged = bool(array.size) and int(array.view(np.uint8).max()) > 1
    elif array.dtype.kind == "U":
        codes = np.frombuffer(array.tobytes(), np.dtype(np.uint32).newbyteorder(array.dtype.byteorder))
        damaged = bool(((codes > 0x10FFFF) | ((codes >= 0xD800) & (codes < 0xE000))).any())
    else:
        return
    if damaged:
        raise BadInput(f"{name} holds bytes that are not {array.dtype.name} values; write it with numpy.savez")


def _header_text(head: bytes, name: str) -> tuple[str, int]:
    if not head.startswith(MAGIC) or len(head) < 10:
        raise BadInput(f"{name} is not an array of numpy; write it with numpy.savez")
    version, width = head[6], 2 if head[6] == 1 else 4
    if version not in (1, 2, 3) or head[7] != 0:
        raise BadInput(f"{name} has version {version}.{head[7]} of numpy's format; 1.0 to 3.0 are read")
    length = int.from_bytes(head[8 : 8 + width], "little")
    if length > LONGEST:
        raise BadInput(f"{name} has a header of {length} characters; {LONGEST} is the most that is read")
    content = head[8 + width : 8 + width + length]
    if len(content) < length or not content.isascii():
        raise BadInput(f"{name} has a damaged header; copy the file again")
    return content.decode("ascii"), 8 + width + length


def _pairs(text: str, name: str) -> dict[str, re.Match[str]]:
    """The three entries of a header, each once."""
    body = text.strip()
    inner = body[1:-1].strip() if body.startswith("{") and body.endswith("}") else ""
    found: dict[str, re.Match[str]] = {}
    place = 0
    while place < len(inner):
        pair = _PAIR.match(inner, place)
        if pair and pair.group("structured"):
            raise BadInput(f"{name} holds records of several fields; store plain arrays, one a field")
        if not pair or pair.group(2) in found:
            raise BadInput(f"{name} has an unreadable header ({shown(inner[place:], 40)}); write it with numpy.save")
        found[pair.group(2)] = pair
        place = pair.end()
    if len(found) < 3:
        raise BadInput(f"{name} has a header that lacks descr, fortran_order or shape; write it with numpy.save")
    return found


def _dtype(pair: re.Match[str], kinds: str, name: str) -> np.dtype[Any]:
    text = pair.group("text")
    known = _TYPE.fullmatch(text or "")
    if not known:
        raise BadInput(f"{name} has the type {shown(text)}, which numpy does not have; store numbers")
    kind = known.group(1)
    if kind == "O":
        raise BadInput(f"{name} holds Python objects, which are never loaded; store plain arrays")
    try:
        dtype = np.dtype(text or "")
    except (TypeError, ValueError):
        raise BadInput(f"{name} has the type {shown(text)}, which numpy does not have; store numbers") from None
    if dtype.kind not in kinds or not dtype.itemsize or (dtype.kind != "U" and dtype.itemsize > WIDEST):
        raise BadInput(f"{name} holds {shown(text)}; numbers of at most {WIDEST} bytes are read")
    return dtype


def _shape(text: str | None, name: str) -> tuple[int, ...]:
    sides = [side.strip() for side in (text or "").split(",")]
    if sides[-1] == "":
        sides.pop()
    if text is None or not all(_SIZE.fullmatch(side) for side in sides):
        raise BadInput(f"{name} has a shape that can't be read ({shown(text, 40)}); write it with numpy.save")
    shape = tuple(int(side.rstrip("L")) for side in sides)
    if len(shape) > DIMENSIONS or any(side < 0 for side in shape):
        raise BadInput(f"{name} has the shape {_sides(shape)}; up to {DIMENSIONS} sides from 0 are read")
    return shape


def _sides(shape: tuple[int, ...]) -> str:
    more = " x ..." if len(shape) > DIMENSIONS else ""
    return " x ".join(map(str, shape[:DIMENSIONS])) + more if shape else "one value of"
