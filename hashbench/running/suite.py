"""Suites: named sets of requests, in TOML files."""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hashbench.digests import DATA_VARIABLE
from hashbench.errors import UnknownName
from hashbench.readers.toml_files import read_suite_tables
from hashbench.registry.parameters import suggestion
from hashbench.running.request import Request
from hashbench.running.trial_tables import SHIPPED

FOLDER = Path(__file__).parent / "suites"
PLACE = f"${DATA_VARIABLE}"  # stands for the folder of all data in names of a suite
VARIED = {
    "dataset": "dataset",
    "backbone": "backbone",
    "method": "method",
    "bits": "bits",
}  # one request for each value
LISTED = {"defense": "defenses", "attack": "attacks", "seed": "seeds"}
SINGLE = {name: name for name in ("training", "eps", "norm", "patch", "access", "tuned")}


@dataclass(frozen=True)
class Suite:
    """A title, the paper, and the requests in order, each once."""

    name: str
    title: str
    paper: str
    requests: tuple[Request, ...]


def names() -> list[str]:
    """The suites that come with hashbench."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def read_suite(name: str) -> Suite:
    """A suite that comes with hashbench, by name, or your own, by the path of its TOML file.

    Raises:
        UnknownName: there is no such suite.
        BadInput: the file is not a valid suite.
    """
    path = Path(name).expanduser() if name.endswith(".toml") else FOLDER / f"{name}.toml"
    if not path.is_file():
        raise UnknownName(_not_there(name, path))
    tables = read_suite_tables(path)
    requests = [request for table in tables.runs for request in expand(table, path)]
    return Suite(path.stem, tables.title, tables.paper, tuple(dict.fromkeys(requests)))


def expand(table: Mapping[str, Any], source: Path) -> list[Request]:
    """The requests of one table: one for each combination of its data sets, backbones, methods and bits.

    Args:
        source: the suite's file; the path of a table of tuned values is relative to it, but for `shipped`.
    """
    known = {**VARIED, **LISTED, **SINGLE}
    fixed: dict[str, Any] = {known[key]: tuple(_values(table[key])) for key in LISTED if key in table}
    fixed |= {known[key]: table[key] for key in SINGLE if key in table}
    if "tuned" in fixed:
        fixed["tuned"] = Path(SHIPPED) if fixed["tuned"] == SHIPPED else source.parent / fixed["tuned"]
    varied = {known[key]: _values(table[key]) for key in VARIED if key in table}
    return [
        Request(**dict(zip(varied, values, strict=True)), **fixed) for values in itertools.product(*varied.values())
    ]


def _not_there(name: str, path: Path) -> str:
    """What to say of a suite that is missing: with the nearest file where a path was given, else the nearest name."""
    if not name.endswith(".toml"):
        beside = f"the file's path: {name}.toml" if Path(f"{name}.toml").is_file() else "the path of a .toml file"
        hint = suggestion(name, names())
        return f"no suite is named {name!r}{hint}{' If not, give' if hint.endswith('?') else ', or give'} {beside}"
    if path.stem in names():
        return f"there is no file {name}; the suite of that name is given without an ending: --suite {path.stem}"
    files = [one.name for one in path.parent.glob("*.toml")] if path.parent.is_dir() else []
    near = [one for one in files if "did you mean" in suggestion(path.name, [one])]
    if near:
        return f"there is no file {name}{suggestion(path.name, near)}"
    return f"there is no file {name}; the suites that come with hashbench are {', '.join(names())}"


def _values(value: Any) -> list[Any]:
    """A key's values, with the folder of all data, if the environment names it, where `PLACE` stands for it."""
    data = os.environ.get(DATA_VARIABLE)
    listed = value if isinstance(value, list) else [value]
    return [one.replace(PLACE, data) if data and isinstance(one, str) else one for one in listed]
