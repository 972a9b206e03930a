"""JSON from anyone: bounded in bytes and in nesting before it is parsed, each key once, every number finite."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any, Never, TypeVar

from hashbench.errors import BadInput
from hashbench.readers.folders import MEGABYTE, decode, read_bytes, shown_path
from hashbench.readers.records import record
from hashbench.readers.text import printable, shown

LARGEST = MEGABYTE  # bytes of one file; what Python makes of them takes up to some 30 times as much
DEEPEST = 32  # lists and objects inside one another
DIGITS = 20  # of a whole number: 64 bits
# A string, also one that does not end, or a bracket. Nothing here is tried twice, so that time grows with the length.
_TOKEN = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[\]{}]', re.DOTALL)

T = TypeVar("T")


def read_json(
    source: Path | bytes | str,
    *,
    limit: int = LARGEST,
    depth: int = DEEPEST,
    inside: Path | None = None,
    name: str = "",
) -> Any:
    """What a JSON file or text holds: dicts, lists, strings, finite numbers of at most 64 bits, booleans and None.

    Args:
        source: the path of a file, or its content.
        limit: bytes of the file.
        depth: lists and objects inside one another.
        inside: the foreign folder that the file belongs to, as of `open_regular`.
        name: of the content, for messages; a path names itself.

    Raises:
        BadInput: the file can't be read, is too large, no UTF-8 or no JSON, or is nested too deep; an object has a
            key twice; a number is NaN, infinite or of more than 64 bits; a string holds half a character.
    """
    text = _text(source, limit, inside, name)
    name = printable(name) if name else shown_path(source) if isinstance(source, Path) else "the JSON text"
    _check_depth(text, depth, name)
    words = _Words(name)
    try:
        content = json.loads(
            text,
            parse_constant=words.constant,
            parse_float=words.fraction,
            parse_int=words.whole,
            object_pairs_hook=words.pairs,
        )
    except (ValueError, RecursionError) as error:
        where = f" (line {error.lineno}, {error.msg})" if isinstance(error, json.JSONDecodeError) else ""
        raise BadInput(f"{name} is not JSON{where}; write it again") from None
    if "\\ud" in text.lower():
        _refuse_halves(content, name)
    return content


def read_record(path: Path, kind: type[T], *, limit: int = LARGEST, inside: Path | None = None) -> T:
    """A dataclass from the JSON object of its fields, each of the declared type and in its range.

    Raises:
        BadInput: as of `read_json` and of `records.record`.
    """
    return record(read_json(path, limit=limit, inside=inside), kind, shown_path(path))


class _Words:
    """What json.loads calls for numbers and objects; `name` is the file's."""

    def __init__(self, name: str) -> None:
        self.name = name

    def constant(self, text: str) -> Never:
        raise BadInput(f"{self.name} holds {text}, which is not a number; leave out what is not known")

    def fraction(self, text: str) -> float:
        value = float(text)
        if not math.isfinite(value):
            raise BadInput(f"{self.name} holds {printable(text, 40)}, which is too large for a number")
        return value

    def whole(self, text: str) -> int:
        if len(text) > DIGITS or not -(1 << 63) <= int(text) < 1 << 64:
            raise BadInput(f"{self.name} holds {printable(text, 40)}, a whole number of more than 64 bits")
        return int(text)

    def pairs(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            seen: set[str] = set()
            twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
            raise BadInput(f"{self.name} has the key {shown(twice)} twice in one object; keep one of them")
        return found


def _text(source: Path | bytes | str, limit: int, inside: Path | None, name: str) -> str:
    if isinstance(source, Path):
        return decode(read_bytes(source, limit, inside), shown_path(source))
    label = printable(name) or "the JSON text"
    if len(source) > limit:
        raise BadInput(f"{label} is larger than {limit} bytes, the most that is read; is it something else?")
    return decode(source, label) if isinstance(source, bytes) else source


def _check_depth(text: str, most: int, name: str) -> None:
    depth = 0
    for token in _TOKEN.finditer(text):
        mark = token.group()
        if mark in "[{":
            depth += 1
            if depth > most:
                raise BadInput(f"{name} nests lists and objects deeper than {most}; no file of hashbench does")
        elif mark in "]}":
            depth -= 1


def _refuse_halves(content: Any, name: str) -> None:
    """Refuse strings with one half of a surrogate pair, which can't be written or printed."""
    waiting = [content]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            waiting += [*item.keys(), *item.values()]
        elif isinstance(item, list):
            waiting += item
        elif isinstance(item, str) and not item.isascii():
            try:
                item.encode()
            except UnicodeEncodeError:
                raise BadInput(f"{name} holds {shown(item)}, which has half a character; write it again") from None
