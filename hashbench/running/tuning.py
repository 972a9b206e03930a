"""Equal tuning: no defense gets more trials than another may have, all on validation queries."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from hashbench.digests import digest
from hashbench.errors import BadInput, BadParameter
from hashbench.models.data import ImageSet, QuerySet, RetrievalSplit
from hashbench.registry.entries import defenses
from hashbench.registry.parameters import format_value
from hashbench.registry.spec import Spec
from hashbench.running.store import Result
from hashbench.running.trial_tables import SUBJECT, Row, format_budget
from hashbench.seeds import derive_seed
from hashbench.types import Index

MADE_BY = ("split_digest", "attack", "seed")  # what may differ between trials that replace each other in a table
TRIALS = 8  # combinations of a defense's grid at most, so that none gets more tries than another


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

    The best trial's numbers are looked at in turn: a value above, then one below all that were tried of each with all
    else as it is. A step is as long as that between the grid's first two values: a factor where both are positive, a
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
    own, known = defenses.choose(best).params, [defenses.choose(Spec.parse(row["trial"])).params for row in rows]
    for name, values in _axes(Spec.parse(text), grid).items():
        tried = [str(one[name]) for one in known if name in own and {**one, name: own[name]} == own]
        for value in _beyond(tried, best.params.get(name, ""), values):
            trial = Spec(best.name, {**best.params, name: value})
            if _is_allowed(trial):
                return str(trial)
    return None


def _axes(spec: Spec, grid: Mapping[str, Sequence[str]] | None) -> Mapping[str, Sequence[str]]:
    """The values to try of each parameter, as texts."""
    declared = defenses[spec.name].grid
    return grid or {name: [format_value(value) for value in values] for name, values in declared.items()}


def _beyond(tried: Sequence[str], value: str, values: Sequence[str]) -> list[str]:
    """The next higher and the next lower value, by the step of a grid, as far as none so high or so low was tried.

    None unless all are two numbers or more.
    """
    try:
        here, first, second = float(value), *map(float, values[:2])
    except ValueError:
        return []
    if first == second:
        return []
    numbers = list(map(float, tried))
    if min(here, first, second) > 0:
        step = max(first, second) / min(first, second)
        higher, lower = here * step, here / step
    else:
        higher, lower = here + abs(second - first), here - abs(second - first)
    ends = [(higher, here >= max(numbers)), (lower, here <= min(numbers))]
    return [f"{number:.6g}" for number, is_end in ends if is_end]


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


def judge_trials(
    text: str, specs: Sequence[str], attack: str, results: Iterable[Result], held: Sequence[Row] = ()
) -> list[Row]:
    """One row per trial; the one with the highest mAP under attack, averaged over seeds, is chosen.

    Args:
        text: the defense as requested.
        specs: its trials.
        attack: the label of the attack that decides.
        results: cells of all trials, attacked and not.
        held: rows of trials that need no results.
    """
    found, known = list(results), {label_of(row["trial"]): row for row in held}
    rows = [known.get(label_of(spec)) or _row(text, spec, attack, found) for spec in specs]
    scores = [float(row["map"]) if row["map"] else -math.inf for row in rows]
    best = max(range(len(rows)), key=scores.__getitem__)
    return [row | {"chosen": "yes" if number == best else "no"} for number, row in enumerate(rows)]


def held_trials(text: str, place: Row, table: Sequence[Row]) -> list[Row]:
    """The rows of a defense's trials that a table has from the same images, threat, attack and seeds.

    Args:
        text: the defense as requested.
        place: as `place_of` gives it.

    Raises:
        BadInput: it has others of the same subject and threat, which would be lost.
    """
    subject = {name: value for name, value in place.items() if name not in MADE_BY} | {"defense": text}
    own = [row for row in table if subject.items() <= row.items()]
    for row in own:
        if other := [name for name in MADE_BY if row[name] != place[name]]:
            raise BadInput(
                f"the table has trials of {text!r} with another {other[0]}; name another table by --out, or leave out "
                "--extend to replace them"
            )
    return own


def place_of(identity: Mapping[str, Any], attack: str, seeds: Iterable[int]) -> Row:
    """What trials share that are held against each other: subject, images, threat, attack and seeds, as tables have it.

    Args:
        identity: of a cell.
        attack: the label of the attack that decides.
    """
    words = {name: str(identity[name]) for name in (*SUBJECT, "split_digest", "norm")}
    told = " ".join(map(str, sorted(set(seeds))))
    return {**words, "eps": format_budget(identity["eps"]), "attack": attack, "seed": told}


def label_of(trial: str) -> str:
    """The label of a trial, which is the same however its values are written."""
    return defenses.choose(Spec.parse(trial)).label


def _row(text: str, spec: str, attack: str, results: Sequence[Result]) -> Row:
    label = label_of(spec)
    of_trial = [r for r in results if r.identity["defense"] == label]
    place = place_of(of_trial[0].identity, attack, (r.identity["seed"] for r in of_trial))
    scores = {"map_clean": _mean(of_trial, "none"), "map": _mean(of_trial, attack)}
    return {**place, "defense": text, "trial": spec, **scores}


def _mean(results: Sequence[Result], attack: str) -> str:
    """The mean mAP of some cells, as text; empty if one of them is invalid."""
    values = [r.numbers.get("map") for r in results if r.identity["attack"] == attack]
    known = [v for v in values if v is not None]
    return f"{sum(known) / len(known):.6f}" if known and len(known) == len(values) else ""
