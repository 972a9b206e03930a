"""What a check of a folder found, how its messages name cells and values, and what all cells must share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hashbench.errors import BadInput
from hashbench.evaluation.judge import PROTOCOL_VERSION, Arrays
from hashbench.readers.text import printable, shown
from hashbench.running.cell import SCHEMA_VERSION
from hashbench.running.store import Result

BoardCell = tuple[Result, Arrays]  # a cell with its per-query arrays

LONGEST = 1000  # characters of a line
TOLD = 200  # lines of one folder


@dataclass
class Findings:
    """What is wrong in a folder, what a reader should know of it, and what could not be checked; one line each.

    `cells` holds the cells that came out the same, with their arrays.
    """

    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    cells: list[BoardCell] = field(default_factory=list)

    def lines(self) -> list[str]:
        """All lines, harmless in a terminal, and how many more problems there are."""
        said = [f"problem: {line}" for line in self.problems[:TOLD]]
        said += [f"problem: and {len(self.problems) - TOLD} more"] if len(self.problems) > TOLD else []
        said += [f"warning: {line}" for line in self.warnings[:TOLD]] + [f"note: {line}" for line in self.notes[:TOLD]]
        return [printable(line, LONGEST) for line in said]


def verify_versions(identity: Mapping[str, Any], name: str) -> None:
    """Refuse what another protocol or schema made.

    Raises:
        BadInput: with both versions.
    """
    for column, own in (("schema_version", SCHEMA_VERSION), ("protocol_version", PROTOCOL_VERSION)):
        given = identity.get(column, "")
        if str(given) != str(own):
            told = shown(given).strip("'") if given != "" else "(none)"
            raise BadInput(f"{name} has {column} {told}; this hashbench reads {own}, use the one that made it")


def who(identity: Mapping[str, Any]) -> str:
    """A cell as messages name it."""
    attacker = "" if identity["attacker"] == "adaptive" else f" ({identity['attacker']})"
    return f"{identity['defense']} under {identity['attack']}{attacker}, seed {identity['seed']}"


def check_agreement(found: Findings) -> None:
    """Check what all cells of one board, and of one model, must share.

    Raises:
        BadInput: they have different numbers of queries.
    """
    shared: dict[tuple[str, ...], tuple[str, Any]] = {}
    for result, arrays in found.cells:
        identity = result.identity
        model = f"{identity['defense']}, seed {identity['seed']}"
        of_queries = arrays["relevant"].sum(axis=1).tolist()
        facts: list[tuple[tuple[str, ...], Any]] = [
            (("the queries' relevant items",), of_queries), (("n_database",), result.numbers["n_database"]),
            (("the model_digest", model), result.numbers.get("model_digest")),
            (("the codes_digest", model), result.numbers.get("codes_digest")),
        ]  # fmt: skip
        if "targets" in arrays:
            facts.append((("the targets", f"seed {identity['seed']}"), arrays["targets"].tolist()))
        for place, value in facts:
            first, wanted = shared.setdefault(place, (who(identity), value))
            if value != wanted:
                found.problems.append(f"{who(identity)}: {place[0]} differ from those of {first}")
    if len(sizes := {len(arrays["relevant"]) for _, arrays in found.cells}) > 1:
        raise BadInput(
            f"cells have {' and '.join(map(str, sorted(sizes)))} queries; a leaderboard has the same throughout"
        )
