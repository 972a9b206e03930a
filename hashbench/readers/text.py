"""Text from foreign files, made harmless for a terminal, for rich markup and for a spreadsheet."""

from __future__ import annotations

import math
import re
import unicodedata

SHOWN = 200  # characters of a foreign text in a message
INT_BITS = 256  # a longer whole number is shown by its size: Python refuses to write very long ones
# A spreadsheet takes these for the start of a formula, the full-width forms too; spaces before them do not help.
_FORMULA = re.compile(r"[\s']*[=+\-@＝＋－＠]|'*[\t\r\n]")  # noqa: RUF001
_QUOTED = re.compile(r"'[\s']*[=+\-@＝＋－＠]|''*[\t\r\n]")  # noqa: RUF001
NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)


def printable(text: str, limit: int = SHOWN) -> str:
    r"""The text with all that moves a cursor, breaks a line or is invisible written as \x1b or \u202e, in one line.

    These are control and format characters (bidi controls among them), lone surrogates, unassigned and
    private ones, and the separators of lines and paragraphs. A longer text than `limit` ends in its length.
    """
    head = "".join(map(_visible, text[: limit + 1]))
    if len(text) <= limit and len(head) <= limit:
        return head
    ending = f"... ({len(text)} characters)"
    return head[: max(0, limit - len(ending))] + ending


def shown(value: object, limit: int = 80) -> str:
    """A value of a foreign file as messages show it: numbers and short texts themselves, of all else its kind."""
    if isinstance(value, str):
        return f"'{printable(value, limit)}'"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value) if value.bit_length() <= INT_BITS else f"a whole number of {value.bit_length()} bits"
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, dict):
        return f"a table of {len(value)} keys"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    return "nothing" if value is None else f"a {type(value).__name__}"


def without_markup(text: str, limit: int = SHOWN) -> str:
    """The text as rich prints it literally where markup is on and a tag follows.

    Print it with `emoji=False`, or :smile: becomes a picture. Where no markup is wanted, `rich.text.Text` around
    `printable` does better: a backslash at the end stays single there.
    """
    from rich.markup import escape

    return escape(printable(text, limit))


def csv_name(name: str) -> str:
    """A name as a cell that no spreadsheet takes for a formula: an apostrophe before = + - @, a tab or a line break.

    Only names and texts go through here. Numbers are written by those who make them, and a text that is a number
    stays as it is, so that -0.5 remains a number. `name_of_csv` gives the name back exactly.
    """
    return f"'{name}" if _FORMULA.match(name) and not NUMBER.fullmatch(name) else name


def name_of_csv(cell: str) -> str:
    """The name that `csv_name` made a cell of."""
    return cell[1:] if _QUOTED.match(cell) else cell


def _visible(character: str) -> str:
    if character.isascii() and character.isprintable():
        return character
    category = unicodedata.category(character)
    if category[0] != "C" and category not in ("Zl", "Zp"):
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 1 << 16 else f"\\U{code:08x}"


def read_number(text: str) -> float:
    """A finite number, written as a decimal or a fraction: 0.03 or 8/255.

    Raises:
        ValueError, ZeroDivisionError: the text is not a finite number.

    >>> read_number("0.5"), read_number("51/255")
    (0.5, 0.2)
    """
    numerator, slash, denominator = text.partition("/")
    value = float(numerator) / float(denominator) if slash else float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value
