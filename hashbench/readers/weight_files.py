"""Weights in safetensors from anyone: the header is judged before a tensor is made, and nothing is executed."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Annotated, Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from hashbench.errors import BadInput
from hashbench.readers.folders import MEGABYTE, open_regular, read_bytes, shown_path
from hashbench.readers.json_files import read_json
from hashbench.readers.records import Limits, check
from hashbench.readers.text import printable, shown

LARGEST = 2048 * MEGABYTE  # bytes of a file
HEADER = 4 * MEGABYTE  # bytes of its header
TENSORS = 10_000
SIDES = 8
WIDTHS = {"BOOL": 1, "U8": 1, "I8": 1, "I16": 2, "F16": 2, "BF16": 2, "I32": 4, "F32": 4, "I64": 8, "F64": 8}
_META = "__metadata__"
_Offset = Annotated[int, Limits(0, 1 << 48)]
_PARTS: dict[str, Any] = {
    "dtype": str,
    "shape": Annotated[list[_Offset], Limits(0, SIDES)],
    "data_offsets": Annotated[list[_Offset], Limits(2, 2)],
}


def read_weights(path: Path, *, limit: int = LARGEST, inside: Path | None = None) -> dict[str, Tensor]:
    """The tensors of a safetensors file by name, on the CPU.

    Args:
        limit: bytes of the file; while it is read, memory holds it twice.
        inside: the foreign folder that the file belongs to, as of `open_regular`.

    Raises:
        BadInput: the file can't be read, is larger than `limit`, or is not a safetensors file: a header not in JSON,
            too long or nested, a tensor of an odd name, type or shape, or whose bytes are not all there or another's.
    """
    name = shown_path(path)
    content = read_bytes(path, limit, inside)
    _check(content, name)
    try:
        return safetensors.torch.load(content)
    except (SafetensorError, ValueError, TypeError, LookupError, RuntimeError, OverflowError) as error:
        why = printable(str(error), 100)
        raise BadInput(f"{name} is not an intact safetensors file ({why}); copy it again") from None


def read_metadata(path: Path, *, inside: Path | None = None) -> dict[str, str]:
    """The metadata of a safetensors file by name; its tensors are not read.

    Raises:
        BadInput: as of `read_weights`.
    """
    name = shown_path(path)
    with open_regular(path, inside) as file:
        start = file.read(8)
        length = int.from_bytes(start, "little")
        if len(start) < 8 or length > HEADER:
            raise BadInput(f"{name} is not an intact safetensors file; write it with safetensors.torch.save_file")
        header = read_json(file.read(length), limit=HEADER, depth=4, name=f"the header of {name}")
    if not isinstance(header, dict):
        raise BadInput(f"{name} has a header that is {shown(header)}; copy it again")
    found: dict[str, str] = check(header.get(_META, {}), dict[str, str], name, _META)
    return found


def _check(content: bytes, name: str) -> None:
    length = int.from_bytes(content[:8], "little")
    if len(content) < 8 or length > len(content) - 8:
        raise BadInput(f"{name} is not an intact safetensors file; write it with safetensors.torch.save_file")
    if length > HEADER:
        raise BadInput(f"{name} has a header of {length} bytes; {HEADER >> 20} MB is the most that is read")
    header = read_json(content[8 : 8 + length], limit=HEADER, depth=4, name=f"the header of {name}")
    if not isinstance(header, dict) or len(header) > TENSORS:
        raise BadInput(f"{name} has a header that is {shown(header)}; up to {TENSORS} tensors are read")
    check(header.pop(_META, {}), dict[str, str], name, _META)
    ends = [(0, 0)]
    for tensor, parts in header.items():
        if not tensor or printable(tensor) != tensor:
            raise BadInput(f"{name} has a tensor called {shown(tensor)}; give each a plain name")
        ends.append(_place(tensor, parts, name))
    ends.sort()
    whole = all(end == start for (_, end), (start, _) in itertools.pairwise(ends))
    if not whole or ends[-1][1] != len(content) - 8 - length:
        raise BadInput(
            f"{name} is not an intact safetensors file: tensors overlap, leave gaps or end elsewhere; copy it again"
        )


def _place(tensor: str, parts: object, name: str) -> tuple[int, int]:
    """Where a tensor's bytes start and end, after its entry was looked at."""
    entry = check(parts, dict[str, Any], name, tensor)
    if entry.keys() != _PARTS.keys():
        raise BadInput(f"{name}: {tensor} has {shown(', '.join(entry))}; wanted are {', '.join(_PARTS)}")
    for key, hint in _PARTS.items():
        check(entry[key], hint, name, f"{tensor}.{key}")
    if entry["dtype"] not in WIDTHS:
        raise BadInput(f"{name}: {tensor} is of {shown(entry['dtype'])}; {', '.join(WIDTHS)} are read")
    start, end = entry["data_offsets"]
    if math.prod(entry["shape"]) * WIDTHS[entry["dtype"]] != end - start:
        raise BadInput(f"{name}: {tensor} has {end - start} bytes, which its shape does not take; copy it again")
    return start, end
