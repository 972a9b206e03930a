"""Equal tuning: no defense gets more trials than another may have, all on validation queries."""

from __future__ import annotations

import csv
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch

from hashbench.digests import digest
from hashbench.errors import BadInput, BadParameter, StoreUnusable
from hashbench.models.data import ImageSet, RetrievalSplit
from hashbench.readers.board_columns import TUNED
from hashbench.readers.csv_tables import read_rows, with_names, wrong_values
from hashbench.readers.text import csv_name
from hashbench.registry.entries import Choice, defenses
from hashbench.registry.parameters import format_value
from hashbench.registry.protocols import Defense
from hashbench.registry.spec import Spec
from hashbench.running.shared_files import replaced
from hashbench.running.store import Result
from hashbench.seeds import derive_seed
from hashbench.types import Index

QuerySet = Literal["queries", "validation", "study"]  # those of leaderboards, for choosing, for a study
TRIALS = 8  # combinations of a defense's grid at most, so that none gets more tries than another
SHIPPED = "shipped"  # names the table of trials that comes with hashbench
SHIPPED_TABLE = Path(__file__).parent / "suites" / "tuned.csv"
SUBJECT = ("dataset", "backbone", "method", "bits", "training")
COLUMNS = (
    *SUBJECT, "split_digest", "norm", "eps", "attack", "seed", "defense", "trial", "map_clean", "map", "chosen",
)  # fmt: skip

Row = dict[str, str]


def trials(text: str, grid: Mapping[str, Sequence[str]] | None = None) -> list[str]:
    """The trials of a defense, as specs: one for each combination of its grid.

    Args:
        text: NAME, or NAME:parameter=value,... with values that every trial keeps.
        grid: values to try instead of those that the defense declares.

    Raises:
        UnknownName: no defense has that name.
        BadParameter: it declares no grid, a parameter is unknown, or it has more than TRIALS combinations.
    """
    spec = Spec.parse(text)
    tried = _axes(spec, grid)
    if not tried:
        raise BadParameter(
            f"defense {spec.name!r} declares no grid to tune; register it with grid={{...}}, or give --grid NAME=a,b"
        )
    count = math.prod(map(len, tried.values()))
    if count > TRIALS:
        raise BadParameter(
            f"the grid of {spec.name!r} has {count} combinations; give at most {TRIALS}, as other defenses have"
        )
    found = [
        Spec(spec.name, {**spec.params, **dict(zip(tried, values, strict=True))})
        for values in itertools.product(*tried.values())
    ]
    for trial in found:
        defenses.choose(trial)
    return [str(trial) for trial in found]


def next_trial(text: str, rows: Sequence[Row], grid: Mapping[str, Sequence[str]] | None = None) -> str | None:
    """A further trial where the best one stands at the end of what was tried of a number; None if it stands inside.

    The best trial's numbers are looked at in turn: the next higher, then the next lower value of each, with all else
    as it is. A step is as long as that between the grid's first two values: a factor where both are positive, a
    difference otherwise. Values that the parameter does not allow are left out.

    Args:
        text: the defense, as given to `trials`.
        rows: what `judge_trials` says of all trials so far.
        grid: as given to `trials`.

    >>> rows = [{"trial": f"lap:weight={weight}", "chosen": chosen} for weight, chosen in (("1", "no"), ("3", "yes"))]
    >>> next_trial("lap", rows, {"weight": ["1", "3"]})
    'lap:weight=9'
    """
    best = Spec.parse(next(row["trial"] for row in rows if row["chosen"] == "yes"))
    known = {row["trial"] for row in rows}
    for name, values in _axes(Spec.parse(text), grid).items():
        for value in _neighbours(best.params[name], values):
            trial = Spec(best.name, {**best.params, name: value})
            if str(trial) not in known and _is_allowed(trial):
                return str(trial)
    return None


def _axes(spec: Spec, grid: Mapping[str, Sequence[str]] | None) -> Mapping[str, Sequence[str]]:
    """The values to try of each parameter, as texts."""
    declared = defenses[spec.name].grid
    return grid or {name: [format_value(value) for value in values] for name, values in declared.items()}


def _neighbours(value: str, values: Sequence[str]) -> list[str]:
    """The next higher and the next lower value, by the step of a grid; none unless all are two numbers or more."""
    try:
        here, first, second = float(value), *map(float, values[:2])
    except ValueError:
        return []
    if first == second:
        return []
    if min(here, first, second) > 0:
        step = max(first, second) / min(first, second)
        return [f"{here * step:.6g}", f"{here / step:.6g}"]
    return [f"{here + abs(second - first):.6g}", f"{here - abs(second - first):.6g}"]


def _is_allowed(trial: Spec) -> bool:
    try:
        defenses.choose(trial)
    except BadParameter:
        return False
    return True


def with_queries(split: RetrievalSplit, queries: QuerySet) -> RetrievalSplit:
    """The split with other queries, under a digest of its own.

    `validation` takes the validation queries, which no leaderboard uses. `study` takes these, and after them as many
    images of the training set (all, if there are fewer), drawn by the split's digest: their difference shows how much
    a training owes to the images that it saw.

    Raises:
        BadInput: the split has no validation queries.
    """
    if queries == "queries":
        return split
    if not len(split.validation):
        raise BadInput("the data set has no validation queries, so that nothing can be chosen on it; give it some")
    judged = split.validation if queries == "validation" else _beside(split.validation, split.train, split.digest)
    return replace(split, queries=judged, digest=digest([split.digest, queries]))


def _beside(validation: ImageSet, train: ImageSet, seed: str) -> ImageSet:
    generator = torch.Generator().manual_seed(derive_seed("training images of a study", seed))
    rows: Index = torch.randperm(len(train), generator=generator)[: len(validation)]
    images = [one.images[index] for one, index in ((validation, torch.arange(len(validation))), (train, rows))]
    return ImageSet(torch.cat(images), torch.cat([validation.labels, train.labels[rows.to(train.labels.device)]]))


def judge_trials(text: str, specs: Sequence[str], attack: str, results: Iterable[Result]) -> list[Row]:
    """One row per trial; the one with the highest mAP under attack, averaged over seeds, is chosen.

    Args:
        text: the defense as requested.
        specs: its trials.
        attack: the label of the attack that decides.
        results: cells of all trials, attacked and not.
    """
    found = list(results)
    rows = [_row(text, spec, attack, found) for spec in specs]
    scores = [float(row["map"]) if row["map"] else -math.inf for row in rows]
    best = max(range(len(rows)), key=scores.__getitem__)
    return [row | {"chosen": "yes" if number == best else "no"} for number, row in enumerate(rows)]


def write_table(path: Path, rows: Sequence[Row]) -> None:
    """Write rows into a table, replacing those of the same defense on the same subject under the same threat.

    Raises:
        StoreUnusable: the file can't be written.
        BadInput: there is a file of that name which is not such a table.
    """
    kept = read_table(path) if path.exists() else []
    renewed = {_place(row) for row in rows}
    table = [row for row in kept if _place(row) not in renewed] + list(rows)
    table.sort(key=lambda row: _place(row))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replaced(path) as draft, draft.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows({name: csv_name(value) for name, value in row.items()} for row in table)
    except OSError as error:
        raise StoreUnusable(f"can't write {path} ({error.strerror}); choose another file with --out") from None


def read_table(path: Path) -> list[Row]:
    """The rows of a table of trials.

    Raises:
        BadInput: the file is missing or is not such a table.
    """
    try:
        table = with_names(read_rows(path, header=COLUMNS))
        wrong = wrong_values(table, TUNED) or ([] if table.rows else [f"{table.name} has no rows"])
    except BadInput as error:
        wrong = [str(error)]
    if wrong:
        raise BadInput(f"can't read tuned values ({wrong[0]}); make them with 'hashbench tune'")
    return list(table.rows)


@dataclass(frozen=True)
class Tuned:
    """The chosen trials of a table, for one subject, under one norm, and one budget if it has `eps`.

    A defense that the table has no such trials of has those that come with hashbench, if there are any: whoever tunes
    a defense of their own need not tune the others again.

    Args:
        path: the table; `shipped` is the one that comes with hashbench.
    """

    path: Path
    subject: Mapping[str, str]

    def choose(self, text: str) -> Choice[Defense]:
        """The tuned choice for a defense; one that is given parameters, or has no grid, is left as it is.

        Raises:
            BadInput: there are no values of this defense for this subject under this norm and budget, or those of
                several budgets where none is asked for.
        """
        rows = self._rows(text)
        for row in rows:
            if row["chosen"] == "yes":
                return replace(defenses.choose(Spec.parse(row["trial"])), tuned=digest(rows))
        return defenses.choose(Spec.parse(text))

    def eps(self, text: str) -> str:
        """The budget under which the values of a defense were chosen, as the table has it; empty where none were.

        Raises:
            BadInput: as of `choose`.
        """
        return next((row["eps"] for row in self._rows(text)), "")

    def _rows(self, text: str) -> list[Row]:
        """The trials of a defense; none where it is given parameters or has no grid."""
        plain = defenses.choose(Spec.parse(text))
        if Spec.parse(text).params or not plain.entry.grid:
            return []
        given = SHIPPED_TABLE if str(self.path) == SHIPPED else self.path
        tables = {path: read_table(path) for path in (given, SHIPPED_TABLE)}
        for path, table in tables.items():
            rows = [row for row in table if _has(row, {**self.subject, "defense": text})]
            budgets = sorted({row["eps"] for row in rows})
            if len(budgets) > 1:
                raise BadInput(
                    f"{path} has tuned values of {text!r} for eps {' and '.join(budgets)}; say which by --eps"
                )
            if any(row["chosen"] == "yes" for row in rows):
                return rows
        words = " ".join(_option(name, value) for name, value in self.subject.items() if name != "training")
        of_subject = {name: value for name, value in self.subject.items() if name in SUBJECT} | {"defense": text}
        others = sorted({f"{row['norm']} eps {row['eps']}" for row in tables[given] if _has(row, of_subject)})
        found = f" but for {' and '.join(others)}" if others else ""
        where = given if given != SHIPPED_TABLE else "the table that comes with hashbench"
        raise BadInput(
            f"{where} has no tuned values of {text!r}{found}; make them with 'hashbench tune {text} {words}'"
        )


def format_budget(eps: float) -> str:
    """A budget as tables of trials have it."""
    return f"{eps:.6g}"


def _has(row: Row, wanted: Mapping[str, str]) -> bool:
    return all(row[name] == value for name, value in wanted.items())


def _option(name: str, value: str) -> str:
    """An option of the command line for a column of the table."""
    kind, _, side = value.partition("-")
    return f"--patch {side}" if name == "norm" and kind == "patch" else f"--{name} {value}"


def _row(text: str, spec: str, attack: str, results: Sequence[Result]) -> Row:
    label = defenses.choose(Spec.parse(spec)).label
    of_trial = [r for r in results if r.identity["defense"] == label]
    one = of_trial[0].identity
    words: dict[str, Any] = {name: one[name] for name in (*SUBJECT, "split_digest", "norm", "eps")}
    seeds = " ".join(str(seed) for seed in sorted({r.identity["seed"] for r in of_trial}))
    scores = {"map_clean": _mean(of_trial, "none"), "map": _mean(of_trial, attack)}
    row = {**words, "eps": format_budget(one["eps"]), "attack": attack, "seed": seeds, "defense": text, "trial": spec}
    return {name: str(value) for name, value in (row | scores).items()}


def _mean(results: Sequence[Result], attack: str) -> str:
    """The mean mAP of some cells, as text; empty if one of them is invalid."""
    values = [r.numbers.get("map") for r in results if r.identity["attack"] == attack]
    known = [v for v in values if v is not None]
    return f"{sum(known) / len(known):.6f}" if known and len(known) == len(values) else ""


def _place(row: Row) -> tuple[str, ...]:
    return tuple(row[name] for name in (*SUBJECT, "defense", "norm", "eps"))
