"""Commands as text: those that measured cells, without what only their machine knows, and those that measure rows."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from itertools import chain, pairwise
from typing import Any

from hashbench.registry.short_labels import NONE
from hashbench.threat import PATCH, format_eps

CODE = "+"  # in a version: with the digest of a user's own code
OWN = ".toml"  # how the name of a suite ends that does not come with hashbench
PLACES = ("--store", "--out", "--zoo")  # options that name folders
FOLDERS = re.compile(r"(?:^|(?<=[=,]))[/~][^=,]*/(?=[^/=,])")  # of a file that a word of a command names


def told(command: str, identity: Mapping[str, Any]) -> str:
    """The command that measured a cell, for readers on other machines.

    It lacks the machine's folders, which affect no number; of files their names are left. A suite that does not come
    with hashbench is a file that readers do not have: the command for this cell alone stands for it.

    >>> told("hashbench run --zoo ~/z --eps 8/255 --defense checkpoint:file=/home/a.pt", {})
    'hashbench run --eps 8/255 --defense checkpoint:file=a.pt'
    """
    words = _words(command)
    suites = [value for option, value in pairwise(words) if option == "--suite"]
    if suites and suites[-1].endswith(OWN):
        cell = [identity["defense"]], [identity["attack"]], [identity["seed"]]
        return row_command(identity, *cell, [FOLDERS.sub("", file) for file in _plugins(words)])
    kept = [word for before, word in pairwise(["", *words]) if word not in PLACES and before not in PLACES]
    return shlex.join(FOLDERS.sub("", word) for word in kept)


def plugin_files(cells: Iterable[tuple[object, str]]) -> list[str]:
    """The files that commands name by `--plugin`, of cells that a user's own code has a part in.

    Args:
        cells: the versions of a cell, as in its identity or as text, and the command that measured it.

    >>> plugin_files([({"defense": "1+5f2b"}, "hashbench run --plugin mine.py"), ("{}", "hashbench run --plugin b.py")])
    ['mine.py']
    """
    own = [command for versions, command in cells if CODE in str(versions)]
    return list(dict.fromkeys(file for command in own for file in _plugins(_words(command))))


def row_command(
    identity: Mapping[str, Any], defenses: Iterable[str], attacks: Iterable[str], seeds: Iterable[int],
    plugins: Iterable[str] = (),
) -> str:  # fmt: skip
    """The command that measures defenses under attacks.

    Args:
        plugins: files of a user's own code that it needs.
    """
    words = ["hashbench", "run"]
    for name in ("dataset", "backbone", "method", "bits"):
        words += [f"--{name}", str(identity[name])]
    _, _, training = str(identity["training"]).partition(":")
    words += ["--training", training] if training else []
    found = PATCH.fullmatch(identity["norm"])
    words += ["--patch", found[1]] if found else ["--norm", identity["norm"]] if identity["norm"] != "linf" else []
    words += ["--eps", format_eps(identity["eps"], identity["norm"])] if not found or identity["eps"] != 1 else []
    words += [word for file in plugins for word in ("--plugin", file)]
    for option, values in (("seed", seeds), ("defense", defenses), ("attack", attacks)):
        words += [word for value in values if value != NONE for word in (f"--{option}", str(value))]
    return shlex.join(words)


def _words(command: str) -> list[str]:
    """The words of a command, --store=runs as two; none if it is damaged."""
    split = (*PLACES, "--suite", "--plugin")
    try:
        parts = [word.partition("=") for word in shlex.split(command)]
    except ValueError:
        return []
    pairs = [
        (option, value) if equals and option in split else (option + equals + value,) for option, equals, value in parts
    ]
    return list(chain.from_iterable(pairs))


def _plugins(words: Iterable[str]) -> list[str]:
    return [file for option, file in pairwise(words) if option == "--plugin"]
