"""Leaderboards: the results that may be compared, one board per subject and threat, and their rows."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import pandas as pd

from hashbench.boards.tables import plain
from hashbench.digests import digest
from hashbench.readers.text import printable
from hashbench.registry.spec import Spec
from hashbench.registry.tracks import by_track, naming_row, track_of, words_of
from hashbench.running.cell import column_name, outdated, without_code
from hashbench.running.commands import told
from hashbench.running.store import Result
from hashbench.threat import format_eps, format_threat, kind_of

KEY = [
    "schema_version", "protocol_version", "dataset", "split_digest", "backbone", "method", "training", "bits",
    "defense", "attack", "goal", "access", "attacker", "norm", "eps", "seed", "index",
]  # fmt: skip
PARAMETERS = [
    "backbone_params", "method_params", "training_params", "defense_params", "tuned", "attack_params", "steps",
    "restarts",
]  # fmt: skip
QUALITY = [
    "map_clean", "certified", "map", "map_low", "map_high", "ci_low", "ci_high", "map_at_k", "k",
    "precision_radius_2", "bits_moved", "chance_map", "relevant_fraction", "distinct_codes", "bit_entropy",
]  # fmt: skip
TARGETED = [
    "t_map", "t_map_low", "t_map_high", "t_ci_low", "t_ci_high", "t_map_clean", "t_chance_map", "map_own",
    "success_rate",
]  # fmt: skip
SIZES = ["n_queries", "n_without_relevant", "n_database"]
AUDIT = ["linf_max", "l2_mean", "range_ok", "map_8bit", "status", "reason"]
COST = ["forwards", "backwards", "helper_forwards", "helper_backwards", "train_forwards", "train_backwards"]
DIGESTS = ["config_digest", "model_digest", "codes_digest"]
COLUMNS = [*KEY, *PARAMETERS, *QUALITY, *TARGETED, *SIZES, *AUDIT, *COST, "versions", *DIGESTS]
HOST = [
    "attack_seconds", "train_seconds", "peak_memory_mb", "device", "threads", "package_version", "code_commit",
    "code_dirty", "code_digest", "python", "torch", "numpy", "platform", "created_utc", "command",
]  # fmt: skip
Columns = Mapping[str, Mapping[str, float]]
NO_COLUMNS: Columns = MappingProxyType({})
REASON = 2000  # characters of the reason of an invalid cell
COMMAND = 20_000  # characters of a command
LONGEST_NAME = 180  # characters of a folder's name
BROAD = 6  # attacks that fit next to each other


@dataclass(frozen=True)
class Leaderboard:
    """The results of one subject under one threat; only these may be compared."""

    name: str
    results: tuple[Result, ...]
    outdated: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The subject and the threat, and anything from an older version, for people."""
        return "; ".join([title_of(naming_row([r.identity for r in self.results])), *self.outdated])

    def rows(self, more: Columns = NO_COLUMNS) -> pd.DataFrame:
        """One row per cell: everything that the same command reproduces digit by digit.

        Args:
            more: interval bounds and certified mAP, as columns, by the key of their cell.
        """
        clean = {model_of(r): r.numbers["map"] for r in self.results if r.identity["attack"] == "none" and r.numbers}
        rows = [
            _row(result, {"map_clean": clean.get(model_of(result)), **more.get(result.key, {})})
            for result in self.results
        ]
        return pd.DataFrame(rows, columns=COLUMNS, dtype=object)

    def provenance(self) -> pd.DataFrame:
        """One row per cell: times, machine, versions and the command that made it."""
        key = ["defense", "attack", "attacker", "seed"]
        rows = [
            {k: r.identity[k] for k in key}
            | {
                "config_digest": r.key,
                **r.host,
                "command": printable(told(str(r.host.get("command", "")), r.identity), COMMAND),
            }
            for r in self.results
        ]
        return pd.DataFrame(rows, columns=[*key, "config_digest", *HOST], dtype=object)

    def matrix(self) -> pd.DataFrame:
        """Defenses by attacks: mAP with its tie bounds, averaged over seeds; then the chance level.

        Columns of targeted attacks hold t-MAP, the mAP with respect to the target labels, and are named so.
        """
        return pd.DataFrame([*map(self._matrix_row, self.defenses), self._chance_row()])

    @property
    def defenses(self) -> list[str]:
        """Row labels, `none` first."""
        return _ordered(r.identity["defense"] for r in self.results)

    @property
    def attacks(self) -> list[str]:
        """Column labels: `none` first, an oblivious attacker next to its attack, targeted attacks last."""
        labels = _ordered(map(attack_of, self.results))
        return sorted(labels, key=self.targeted)

    @property
    def tall(self) -> bool:
        """Whether there are too many attacks for columns; they become rows then."""
        return len(self.attacks) > BROAD

    @property
    def seeds(self) -> list[int]:
        """The seeds, in order."""
        return sorted({r.identity["seed"] for r in self.results})

    def cells(self, defense: str, attack: str) -> list[Result]:
        """The results of one square of the matrix, by seed; empty if nothing was measured."""
        return [r for r in self.results if (r.identity["defense"], attack_of(r)) == (defense, attack)]

    def targeted(self, attack: str) -> bool:
        """Whether an attack aims at target labels; its squares then hold t-MAP."""
        return any(r.identity["goal"] == "targeted" for r in self.results if attack_of(r) == attack)

    def access(self, attack: str) -> str:
        """What an attack knows of the victim."""
        return next(str(r.identity["access"]) for r in self.results if attack_of(r) == attack)

    def column(self, attack: str) -> str:
        """An attack's name, with the measure if it is not mAP."""
        return f"{attack} t-MAP" if self.targeted(attack) else attack

    def values(self, defense: str, attack: str, number: str = "map") -> list[float]:
        """A number of one square's cells, by seed; empty if any of them is invalid.

        `map`, `map_low` and `map_high` are with respect to the targets for a targeted attack.
        """
        number = f"t_{number}" if self.targeted(attack) and f"t_{number}" in TARGETED else number
        cells = self.cells(defense, attack)
        return [r.numbers[number] for r in cells] if all(r.status == "valid" for r in cells) else []

    @property
    def chance(self) -> float | None:
        """Mean AP of a random ranking, which is also that of a constant code."""
        return _mean([r.numbers["chance_map"] for r in self.results if r.numbers])

    def chance_of(self, attack: str) -> float | None:
        """The chance level of an attack's squares: with respect to the targets for a targeted one."""
        number = "t_chance_map" if self.targeted(attack) else "chance_map"
        return _mean([r.numbers[number] for r in self.results if r.numbers and attack_of(r) == attack])

    def _matrix_row(self, defense: str) -> dict[str, Any]:
        seeds = {r.identity["seed"] for r in self.results if r.identity["defense"] == defense}
        row: dict[str, Any] = {"defense": defense, "seeds": len(seeds)}
        for attack in self.attacks:
            name = self.column(attack)
            for number, column in (("map", name), ("map_low", f"{name} low"), ("map_high", f"{name} high")):
                row[column] = plain(_mean(self.values(defense, attack, number)))
        return row

    def _chance_row(self) -> dict[str, Any]:
        levels = {self.column(attack): plain(self.chance_of(attack)) for attack in self.attacks}
        return {"defense": "chance", "seeds": len(self.seeds)} | levels


def title_of(subject: Mapping[str, Any]) -> str:
    """The subject and the threat that all rows of a leaderboard share, for people.

    Args:
        subject: an identity, or a row of results.csv with its exact eps as a number.
    """
    parts = [subject["dataset"], subject["backbone"], subject["method"], f"{subject['bits']} bits"]
    parts += [subject["training"]] if subject.get("training", "clean") != "clean" else []
    track = words_of(track_of(str(subject.get("access", ""))))
    return f"{', '.join(parts)}; {format_threat(subject['norm'], subject['eps'])}{'; ' if track else ''}{track}"


def attack_of(result: Result) -> str:
    """The label of the column that a result belongs to."""
    return column_name(result.identity["attack"], result.identity["attacker"])


def leaderboards(results: Iterable[Result]) -> list[Leaderboard]:
    """Group results that may be compared; of two measurements of the same cell, the newer one counts.

    Results of older versions get boards of their own, completed with up-to-date rows.
    """
    newest: dict[str, Result] = {}
    for result in sorted(results, key=lambda r: (r.host["created_utc"], r.key)):
        versions = without_code(result.identity.get("versions", {}))
        newest[json.dumps({**result.identity, "versions": versions}, sort_keys=True)] = result
    groups: dict[tuple[str, str], list[Result]] = {}
    for result in newest.values():
        name = folder_name({**result.identity, "access": ""})
        groups.setdefault((name, result.identity["split_digest"]), []).append(result)
    names = [name for name, _ in groups]
    return [
        board
        for (name, split), group in sorted(groups.items())
        for track, places in by_track([(r.identity["access"], model_of(r)) for r in group]).items()
        for board in _by_version(
            "-".join([name, *[split[:6]] * (names.count(name) > 1), *[track] * bool(track)]), [group[i] for i in places]
        )
    ]


def _by_version(name: str, group: Sequence[Result]) -> list[Leaderboard]:
    """The board of current versions, and one for each set of older ones."""
    sets: dict[tuple[str, ...], list[Result]] = {(): []}
    for result in group:
        sets.setdefault(outdated(result.identity), []).append(result)
    boards = []
    for old, own in sets.items():
        places = {_place(result) for result in own}
        beside = [result for result in sets[()] if old and _place(result) not in places]
        suffix = "".join(f"-{re.sub(r'[^a-z0-9.]+', '-', what.partition(';')[0].lower())}" for what in old)
        if own:
            boards.append(Leaderboard(name + suffix, tuple(sorted([*own, *beside], key=order)), old))
    return boards


def _place(result: Result) -> tuple[Any, ...]:
    return tuple(result.identity[name] for name in ("defense", "attack", "attacker", "seed"))


def folder_name(identity: dict[str, Any]) -> str:
    """`<subject>-<threat>`, from everything that must agree for two rows to be compared; ends in a digest if long."""
    words = [identity["dataset"], identity["backbone"], identity["method"], f"{identity['bits']}bit"]
    if identity["training"] != "clean":
        words.append(identity["training"])
    words.append(identity["norm"])
    if kind_of(identity["norm"]) != "patch" or identity["eps"] != 1:
        words.append(format_eps(identity["eps"], identity["norm"]))
    words.append(track_of(str(identity.get("access", ""))))  # a model alone, with its certificate, has none
    name = re.sub(r"[^a-z0-9.]+", "-", "-".join(words).lower()).strip("-")
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 9].strip('-')}-{digest(name)[:8]}"


def file_name(label: str) -> str:
    """A label as part of a file name."""
    return "-".join("".join(c if c.isalnum() or c in "._" else " " for c in str(Spec.parse(label))).split())


def _row(result: Result, more: Mapping[str, Any]) -> dict[str, Any]:
    identity, numbers = result.identity, result.numbers
    attack = identity["attack_params"]
    row = {**identity, **numbers, **more, "status": result.status, "reason": printable(result.reason, REASON)}
    row |= {"steps": attack.get("steps"), "restarts": attack.get("restarts"), "config_digest": result.key}
    row["range_ok"] = True if numbers else None  # an image outside [0, 1] ends its cell
    return {name: plain(row.get(name)) for name in COLUMNS}


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None


def model_of(result: Result) -> tuple[str, int]:
    """The defense and the seed of a cell or a probe."""
    return result.identity["defense"], result.identity["seed"]


def order(result: Result) -> tuple[Any, ...]:
    """The sort key of a board's rows."""
    identity = result.identity
    names = [(identity[kind] != "none", identity[kind]) for kind in ("defense", "attack")]
    return *names, identity["attacker"], identity["seed"], result.key


def _ordered(labels: Iterable[str]) -> list[str]:
    return sorted(set(labels), key=lambda label: (label != "none", label))
