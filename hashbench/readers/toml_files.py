"""Suite files in TOML: bounded and shallow before they are parsed, each key of its type and in its range.

The schema is written out here, since it is thirteen keys: a library for it would be one more dependency of every user.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from hashbench.errors import BadInput
from hashbench.readers.folders import read_text, shown_path
from hashbench.readers.records import Limits, check, unknown_key
from hashbench.readers.text import printable, shown

LARGEST = 1 << 18  # bytes of one file
DEEPEST = 16  # lists and tables inside one another, parts of a dotted key
TABLES = 1000  # [[run]] tables of one suite
VALUES = 1000  # values of one key
REQUESTS = 1000  # combinations of data set, backbone, method and bits of one suite
CELLS = 1_000_000  # combinations of these with defenses, attacks and seeds
MOST_BITS = 1024  # code length
LARGEST_SEED = 2**32 - 1
WORDS = 1000  # characters of a text
SIDE = 9999  # pixels of a patch
AllowedAccess = Literal["white", "decision", "transfer", "ranking"]  # that a matrix may allow alone
WIDEST = 10_000.0  # l2 radius of a budget: images of 5,000 x 5,000 pixels with three channels fit

# Strings, comments, brackets. Nothing is tried twice, so that time grows with the length.
_TOKEN = re.compile(
    r'"""(?:[^"\\]++|\\.|"(?!""))*+(?:"{3,5})?|'  # an unterminated string ends with the file
    r"'''(?:[^']++|'(?!''))*+(?:'{3,5})?|"
    r'"(?:[^"\\\n]++|\\.)*+"?|' + r"'[^'\n]*+'?|#[^\n]*+|[\[\]{}]",
    re.DOTALL,
)
_DOTTED = re.compile(rf'(?:[\w-]++|"")(?:[ \t]*+\.[ \t]*+(?:[\w-]++|"")){{{DEEPEST},}}+', re.ASCII)
_LONG = re.compile(r"[\w.+-]{201}", re.ASCII)  # a key or a number of 100,000 digits takes tomllib half a minute
_NUMBER = re.compile(r"\d{1,20}(?:\.\d{0,20})?|\.\d{1,20}|\d{1,20}(?:\.\d{0,20})?[eE][+-]?\d{1,3}", re.ASCII)


def read_eps(value: str | float, most: float = 1) -> float:
    """A budget from a number, or from a text with a number or a fraction: 0.03, "0.03" or "8/255".

    Args:
        most: the largest budget.

    Raises:
        BadInput: it is not one, or lies outside of 0 to `most`.
    """
    if isinstance(value, bool):
        numbers = [math.nan]
    elif isinstance(value, str):
        parts = [part.strip() for part in value.split("/")]
        numbers = [float(part) if _NUMBER.fullmatch(part) else math.nan for part in parts]
    else:
        numbers = [float(value) if abs(value) <= most else math.nan]
    if len(numbers) > 2 or not all(map(math.isfinite, numbers)) or (len(numbers) == 2 and not numbers[1]):
        raise BadInput(f"{shown(value)} is not a budget; give a number from 0 to {most:g}, such as 0.03 or '8/255'")
    eps = numbers[0] / numbers[1] if len(numbers) == 2 else numbers[0]
    if not 0 <= eps <= most:
        raise BadInput(f"{shown(value)} is {eps:g}; give a budget from 0 to {most:g}, such as 0.03 or '8/255'")
    return eps


def _eps_problem(value: str | float) -> str:
    try:
        read_eps(value)
    except BadInput:
        return "a number from 0 to 1, or a text such as '8/255'"
    return ""


def _radius_problem(value: str | float) -> str:
    try:
        read_eps(value, WIDEST)
    except BadInput:
        return f"a number from 0 to {WIDEST:g}, or a text such as '128/255'"
    return ""


def _word_problem(text: str) -> str:
    return "" if printable(text, len(text)) == text else "a text in one line without control characters"


Word = Annotated[str, Limits(1, WORDS), _word_problem]
Line = Annotated[str, Limits(0, WORDS), _word_problem]
Words = Annotated[list[Word], Limits(1, VALUES)]
Length = Annotated[int, Limits(1, MOST_BITS)]
Seed = Annotated[int, Limits(0, LARGEST_SEED)]
RUN: dict[str, Any] = {
    "dataset": Word | Words,
    "backbone": Word | Words,
    "method": Word | Words,
    "bits": Length | Annotated[list[Length], Limits(1, VALUES)],
    "defense": Word | Annotated[list[Word], Limits(0, VALUES)],
    "attack": Word | Annotated[list[Word], Limits(0, VALUES)],
    "seed": Annotated[int, Limits(0, LARGEST_SEED)]
    | Annotated[list[Annotated[int, Limits(0, LARGEST_SEED)]], Limits(1, VALUES)],
    "training": Line,
    "eps": Annotated[str | float, _eps_problem],
    "norm": Literal["linf", "l2"],
    "patch": Annotated[int, Limits(1, SIDE)],
    "access": AllowedAccess,
    "tuned": Word,
}
RADIUS = Annotated[str | float, _radius_problem]  # of eps where norm is l2
SINGLE = ("training", "eps", "norm", "patch", "access", "tuned")
VARIED = ("dataset", "backbone", "method", "bits")  # one request for each combination


@dataclass(frozen=True)
class SuiteTables:
    """A suite as its file has it: title, paper, and the [[run]] tables with lists for all keys that take some.

    `eps` is a text, as the command line takes it; a key that is absent is absent here too.
    """

    title: str
    paper: str
    runs: tuple[Mapping[str, Any], ...]


def read_suite_tables(path: Path, inside: Path | None = None) -> SuiteTables:
    """The tables of a suite file.

    Raises:
        BadInput: as of `read_toml`; a key is unknown, or a value of another type or out of its range (the message has
            the run and the key's path, such as "run 2: bits[0] is -5"); a run has a patch and another norm than
            linf; there is no [[run]]; or it expands to more than REQUESTS requests or CELLS cells.
    """
    name = shown_path(path)
    content = read_toml(path, inside=inside)
    known = ("title", "paper", "run")
    for key in content:
        if key not in known:
            raise unknown_key(key, known, name, "")
    title, paper = (check(content.get(key, ""), Line, name, key) for key in ("title", "paper"))
    tables = check(content.get("run", []), Annotated[list[Any], Limits(0, TABLES)], name, "run")
    if not tables:
        raise BadInput(f"{name} has no [[run]] table; each one names a dataset, attacks and defenses")
    runs = tuple(_run(table, f"{name}, run {number}") for number, table in enumerate(tables, 1))
    _check_combinations(runs, name)
    return SuiteTables(title, paper, runs)


def read_toml(path: Path, *, limit: int = LARGEST, inside: Path | None = None) -> dict[str, Any]:
    """What a TOML file holds.

    Args:
        limit: bytes of the file.
        inside: the foreign folder that the file belongs to, as of `open_regular`.

    Raises:
        BadInput: it can't be read, is too large, no UTF-8 or no TOML, or nests deeper than DEEPEST, or
            has a key or a number of more than 200 characters.
    """
    name = shown_path(path)
    text = read_text(path, limit, inside)
    _check_depth(text, name)
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput(
            f"{name} is not a TOML file ({printable(str(error), 100)}); see the suites of hashbench"
        ) from None


def _run(table: object, place: str) -> Mapping[str, Any]:
    if not isinstance(table, dict):
        raise BadInput(f"{place} is {shown(table)}; write a [[run]] table with keys")
    found: dict[str, Any] = {}
    for key, value in table.items():
        if key not in RUN:
            raise unknown_key(key, RUN, place, "")
        if key in SINGLE and isinstance(value, list):
            raise BadInput(f"{place}: {key} takes one value; write another [[run]] for another one")
        kind = RADIUS if key == "eps" and table.get("norm") == "l2" else RUN[key]
        found[key] = check(value, kind, place, key)
    if "patch" in found and found.get("norm", "linf") != "linf":
        raise BadInput(f"{place}: norm {found['norm']} and patch {found['patch']} exclude each other; leave one out")
    for key in (*VARIED, "defense", "attack", "seed"):
        if key in found and not isinstance(found[key], list):
            found[key] = [found[key]]
    if "eps" in found:
        found["eps"] = str(found["eps"])
    return found


def _check_combinations(runs: tuple[Mapping[str, Any], ...], name: str) -> None:
    """Refuse what would take for ever to write out, without writing it out."""
    requests = cells = 0
    for run in runs:
        combinations = math.prod(len(run[key]) for key in VARIED if key in run)
        requests += combinations
        matrix = (len(run.get("defense", ())) + 1) * (len(run.get("attack", ())) + 1) * len(run.get("seed", (0,)))
        cells += combinations * matrix
    for count, most, what in ((requests, REQUESTS, "matrices"), (cells, CELLS, "cells")):
        if count > most:
            raise BadInput(f"{name} stands for {count} {what}; {most} is the most; split it into several suites")


def _check_depth(text: str, name: str) -> None:
    depth = 0

    def step(token: re.Match[str]) -> str:
        nonlocal depth
        mark = token.group()
        depth = depth + (mark in "[{") - (mark in "]}")
        if depth > DEEPEST:
            raise BadInput(f"{name} nests lists and tables deeper than {DEEPEST}; no suite does")
        return mark if mark in "[]{}" else "" if mark.startswith("#") else '""'

    plain = _TOKEN.sub(step, text)
    if word := _LONG.search(plain):
        raise BadInput(f"{name} has a word of more than 200 characters ({word.group()[:20]}...); no suite does")
    if _DOTTED.search(plain):
        raise BadInput(f"{name} has a key of more than {DEEPEST} parts; no suite does")
