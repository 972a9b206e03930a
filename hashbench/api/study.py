"""A study: variants of defenses, judged on validation queries, each with its seeds and its difference from one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hashbench.boards.intervals import ConfidenceInterval, Reader, intervals, scored
from hashbench.boards.leaderboard import Leaderboard, leaderboards
from hashbench.boards.pairing import CLEAN, UNDEFENDED
from hashbench.boards.tables import rounded, write_table, writing
from hashbench.metrics.bootstrap import Floats
from hashbench.models.data import RetrievalSplit
from hashbench.registry.tracks import ATTACK_SETS
from hashbench.running.cell import ADAPTIVE
from hashbench.running.request import Request
from hashbench.running.store import Result

SUBJECT = ("dataset", "backbone", "method", "bits", "norm", "eps")
OF_SEED = [
    *SUBJECT, "defense", "seed", "map_clean", "map_fast", "map_full", "train_clean", "train_fast", "train_full",
    "passes", "seconds", "note",
]  # fmt: skip
OF_VARIANT = [
    *SUBJECT, "defense", "seeds", "map_clean", "map_fast", "map_full", "train_fast", "gap", "passes",
    *(f"delta_{what}{end}" for what in ("clean", "fast", "full") for end in ("", "_low", "_high")), "note",
]  # fmt: skip
MEASURES = ("clean", "fast", "full")


@dataclass(frozen=True, eq=False)
class Trial:
    """One variant with one seed: its APs on validation queries and on training images, as far as it was measured.

    `validation` and `train` hold APs [queries] by measure: clean, fast (the lowest under the clean query and all
    attacks but the versioned sets) and full (with these). Passes go forward and backward, per training image.
    """

    defense: str
    seed: int
    validation: dict[str, Floats] = field(default_factory=dict)
    train: dict[str, Floats] = field(default_factory=dict)
    passes: float | None = None
    seconds: float | None = None
    note: str = ""


@dataclass(frozen=True, eq=False)
class Study:
    """The trials of one subject under one threat, and the defense with which the others are compared."""

    board: Leaderboard
    trials: tuple[Trial, ...]
    reference: str

    def seeds_table(self) -> pd.DataFrame:
        """One row per variant and seed. mAPs in [0, 1]."""
        rows = [
            {
                **self._subject(), "defense": trial.defense, "seed": trial.seed, "passes": trial.passes,
                "seconds": trial.seconds, "note": trial.note,
                **{f"map_{name}": _mean([trial.validation.get(name)]) for name in MEASURES},
                **{f"train_{name}": _mean([trial.train.get(name)]) for name in MEASURES},
            }
            for trial in self.trials
        ]  # fmt: skip
        return rounded(rows, OF_SEED)

    def variants_table(self) -> pd.DataFrame:
        """One row per variant, the highest worst case first, with differences from the reference and their intervals.

        `gap` is the mAP under the fast attacks on training images minus that on validation queries.
        """
        names = dict.fromkeys(trial.defense for trial in self.trials)
        rows = [self._variant_row(name) for name in names]
        for measure in MEASURES:
            found = intervals([self._differences(name, measure) for name in names])
            for row, interval in zip(rows, found, strict=True):
                row |= _columns(f"delta_{measure}", interval)
        rows.sort(key=lambda row: ([-(_known(row[name]) or 0) for name in ("map_full", "map_fast")], row["defense"]))
        return rounded(rows, OF_VARIANT)

    def _variant_row(self, name: str) -> dict[str, object]:
        own = [trial for trial in self.trials if trial.defense == name]
        means = {f"map_{what}": _mean([t.validation.get(what) for t in own]) for what in MEASURES}
        seen, fast = _mean([t.train.get("fast") for t in own]), means["map_fast"]
        known = [t.passes for t in own if t.passes is not None]
        notes = dict.fromkeys(t.note for t in own if t.note)
        return {
            **self._subject(), "defense": name, "seeds": " ".join(str(t.seed) for t in own), **means,
            "train_fast": seen, "gap": None if seen is None or fast is None else seen - fast,
            "passes": sum(known) / len(known) if known else None, "note": "; ".join(notes),
        }  # fmt: skip

    def _differences(self, name: str, measure: str) -> Floats:
        """APs minus the reference's [shared seeds, queries]; empty for the reference and without common seeds."""
        own, base = ({t.seed: t for t in self.trials if t.defense == one} for one in (name, self.reference))
        pairs = [
            own[seed].validation[measure] - base[seed].validation[measure]
            for seed in own
            if seed in base and measure in own[seed].validation and measure in base[seed].validation
        ]
        return scored(np.stack(pairs)) if pairs and name != self.reference else np.empty((0, 0))

    def _subject(self) -> dict[str, object]:
        return {name: self.board.results[0].identity[name] for name in SUBJECT}


def studies(
    results: Iterable[Result], arrays: Reader, splits: Mapping[str, RetrievalSplit], reference: str | Sequence[Request]
) -> list[Study]:
    """The studies of some results, one for each subject and threat.

    Args:
        arrays: returns the per-query arrays of a cell.
        splits: the data, by the digest that results have; the first of its queries are its validation queries, the
            others training images.
        reference: label of the defense with which the others are compared, or what was asked for: each subject and
            threat takes the first defense that is asked for on it.
    """
    found = []
    for board in leaderboards(results):
        identity = board.results[0].identity
        split = splits[identity["split_digest"]]
        label = reference if isinstance(reference, str) else first_defense(reference, identity, split)
        found.append(Study(board, tuple(_trials(board, arrays, len(split.validation))), label))
    return found


def first_defense(requests: Sequence[Request], identity: Mapping[str, Any], split: RetrievalSplit) -> str:
    """The label of the first defense that is asked for on a cell's subject and threat; `none` if no other is."""
    for request in requests:
        one = request.resolve()
        if one.dataset.label != identity["dataset"]:
            continue
        threat = one.threat_on(split)
        asked = {
            "backbone": one.backbone.label, "method": one.method.label, "training": one.training.label,
            "bits": one.bits, "norm": threat.norm, "eps": threat.eps,
        }  # fmt: skip
        if all(identity[name] == value for name, value in asked.items()):
            return one.defenses[:2][-1].label
    return UNDEFENDED


def write_study(found: Sequence[Study], folder: Path) -> tuple[Path, Path]:
    """Write seeds.csv and variants.csv, with the rows of all subjects, into a folder; returns their paths.

    Raises:
        StoreUnusable: the folder can't be written.
    """
    tables = {"seeds.csv": [s.seeds_table() for s in found], "variants.csv": [s.variants_table() for s in found]}
    with writing(folder):
        for name, parts in tables.items():
            write_table(folder / name, pd.concat(parts, ignore_index=True))
    return folder / "seeds.csv", folder / "variants.csv"


def _trials(board: Leaderboard, arrays: Reader, validation: int) -> Iterator[Trial]:
    cells = {
        (r.identity["defense"], r.identity["seed"], r.identity["attack"]): r
        for r in board.results
        if r.identity["attacker"] == ADAPTIVE and r.identity["goal"] == "untargeted"
    }
    for defense, seed in dict.fromkeys((defense, seed) for defense, seed, _ in cells):
        own = {attack: r for (name, number, attack), r in cells.items() if (name, number) == (defense, seed)}
        yield _trial(defense, seed, own, arrays, validation)


def _trial(defense: str, seed: int, own: Mapping[str, Result], arrays: Reader, validation: int) -> Trial:
    """What the cells of one model say, under the attacks that were valid."""
    wrong = [f"invalid under {attack}, seed {seed}: {r.reason}" for attack, r in own.items() if r.status != "valid"]
    if wrong:
        return Trial(defense, seed, note="; ".join(wrong))
    found = {attack: arrays(r)["average_precision"] for attack, r in own.items()}
    measures = {"clean": [CLEAN], "fast": [a for a in found if a not in ATTACK_SETS]}
    if set(found) & set(ATTACK_SETS):
        measures["full"] = list(found)
    lowest = {name: np.minimum.reduce([found[attack] for attack in attacks]) for name, attacks in measures.items()}
    clean = own[CLEAN]
    passes = [_known(clean.numbers.get(name)) for name in ("train_forwards", "train_backwards")]
    return Trial(
        defense, seed, {name: values[:validation] for name, values in lowest.items()},
        {name: values[validation:] for name, values in lowest.items()},
        None if None in passes else sum(number or 0 for number in passes), _known(clean.host.get("train_seconds")),
    )  # fmt: skip


def _mean(values: Sequence[Floats | None]) -> float | None:
    """The mean over seeds and the queries that have an AP; None if a seed lacks it."""
    known = [float(np.nanmean(one)) for one in values if one is not None and len(one)]
    return sum(known) / len(known) if known and len(known) == len(values) else None


def _columns(name: str, interval: ConfidenceInterval | None) -> dict[str, float | None]:
    if interval is None:
        return {}
    return {name: interval.mean, f"{name}_low": interval.low, f"{name}_high": interval.high}


def _known(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None
