"""Suites: named sets of requests, in TOML files."""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hashbench.errors import BadInput, UnknownName
from hashbench.registry.parameters import suggestion
from hashbench.running.request import Request

FOLDER = Path(__file__).parent / "suites"
VARIED = {
    "dataset": "dataset",
    "backbone": "backbone",
    "method": "method",
    "bits": "bits",
}  # one request for each value
LISTED = {"defense": "defenses", "attack": "attacks", "seed": "seeds"}
SINGLE = {"training": "training", "eps": "eps", "tuned": "tuned"}


@dataclass(frozen=True)
class Suite:
    """A title, the paper, and the requests in their order, each once."""

    name: str
    title: str
    paper: str
    requests: tuple[Request, ...]


def names() -> list[str]:
    """The suites that come with hashbench."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def read_suite(name: str) -> Suite:
    """A suite that comes with hashbench, by name, or one of your own, by the path of its TOML file.

    Raises:
        UnknownName: there is none.
        BadInput: the file has another form.
    """
    path = Path(name).expanduser() if name.endswith(".toml") else FOLDER / f"{name}.toml"
    if not path.is_file():
        raise UnknownName(f"no suite is named {name!r}{suggestion(name, names())}; or give the path of a .toml file")
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadInput(f"{path} is no TOML file ({error})") from None
    tables = content.get("run", [])
    if not isinstance(tables, list) or not tables:
        raise BadInput(f"{path} has no [[run]] table; each one names a dataset, attacks and defenses")
    requests = [request for table in tables for request in expand(table, path)]
    title, paper = (str(content.get(key, "")) for key in ("title", "paper"))
    return Suite(path.stem, title, paper, tuple(dict.fromkeys(requests)))


def expand(table: Mapping[str, Any], source: Path) -> list[Request]:
    """The requests of one table: one for each combination of its data sets, backbones, methods and bits.

    Args:
        source: the suite's file, for error messages, and to find a table of tuned values beside it.

    Raises:
        BadInput: the table has an unknown key or a value of another type.
    """
    known = {**VARIED, **LISTED, **SINGLE}
    for key, value in table.items():
        if key not in known:
            raise BadInput(f"{source}: a run has no key {key!r}{suggestion(key, known)}")
        wanted = int if key in ("bits", "seed") else str
        if key in SINGLE and isinstance(value, list):
            raise BadInput(f"{source}: {key} takes one value; write another [[run]] for another one")
        if not all(isinstance(item, wanted) for item in _as_list(value)):
            raise BadInput(f"{source}: {key} = {value!r} is no {wanted.__name__} nor a list of them")
    fixed: dict[str, Any] = {known[key]: tuple(_as_list(table[key])) for key in LISTED if key in table}
    fixed |= {known[key]: table[key] for key in SINGLE if key in table}
    if "tuned" in fixed:
        fixed["tuned"] = source.parent / fixed["tuned"]
    varied = {known[key]: _as_list(table[key]) for key in VARIED if key in table}
    return [
        Request(**dict(zip(varied, values, strict=True)), **fixed) for values in itertools.product(*varied.values())
    ]


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
