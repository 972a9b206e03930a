"""Defended models under corruptions, without an attacker: a table, its means and a picture, apart from all rankings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hashbench.api.measure import limited_threads, open_store
from hashbench.boards.intervals import level_intervals, scored
from hashbench.boards.leaderboard import folder_name, title_of
from hashbench.boards.plots.corruptions import save_corruptions
from hashbench.boards.plots.matrix import FORMATS
from hashbench.boards.tables import check_writable, rounded, write_table, writing
from hashbench.errors import BadParameter, InvalidCell
from hashbench.evaluation.corrupted import Values, chance_precision, corrupted_precision
from hashbench.evaluation.corruption_levels import STRENGTHS
from hashbench.evaluation.corruptions import CORRUPTION_VERSION, CORRUPTIONS, check_channels
from hashbench.progress import job, track
from hashbench.registry.parameters import suggestion
from hashbench.registry.short_labels import defense_name
from hashbench.running.cell import Cell
from hashbench.running.migration import migrate_store
from hashbench.running.request import Request, load_once
from hashbench.running.runner import Runner, choose_device, make_deterministic
from hashbench.running.victims import DefendedModel
from hashbench.seeds import derive_seed

CLEAN = "clean"
TABLE, MEANS, PICTURE = "corruptions.csv", "corruption-means.csv", "corruptions"
SUBJECT = ("dataset", "split_digest", "backbone", "method", "training", "bits")
COLUMNS = (
    *SUBJECT, "defense", "defense_eps", "seed", "corruption", "strength", "level", "map", "map_clean", "chance_map",
    "n_queries", "n_database", "model_digest", "codes_digest", "corruption_version", "protocol_version",
)  # fmt: skip

Tell = Callable[[str], object]


@dataclass(frozen=True, eq=False)
class CorruptedModel:
    """The per-query APs of one model.

    Attributes:
        clean, chance: [queries]; NaN where a query has no relevant item, and so in all others.
        found: by corruption, [strengths, queries].
    """

    cell: Cell
    facts: dict[str, Any]
    clean: Values
    chance: Values
    found: dict[str, Values]
    items: int


@dataclass(frozen=True, eq=False)
class CorruptionReport:
    """Models under corruptions.

    Attributes:
        table: one row per defense, seed, corruption and strength.
        means: one row per defense: clean mAP, the mean over strengths and seeds of each corruption, the mean corrupted
            mAP with its 95 % interval, the share of the clean mAP above chance that it keeps, and the chance level.
        folder: where its files are.
    """

    title: str
    table: pd.DataFrame
    means: pd.DataFrame
    folder: Path


def measure_corruptions(
    request: Request, names: Sequence[str] = (), *, store: Path = Path("runs"), out: Path = Path("leaderboards"),
    device: str = "auto", threads: int = 1, formats: Sequence[str] = FORMATS, tell: Tell = lambda line: None,
) -> CorruptionReport:  # fmt: skip
    """Measure the mAP of a request's models on corrupted queries, and write tables and a picture.

    Models come from the store; those that it lacks are trained and stored. The same queries are corrupted alike for
    all models and seeds.

    Args:
        request: its attacks are not run.
        names: corruptions; all by default.
        device, threads: as of `run`.
        tell: is told of models that can't be made, and of images in two roles of the data set.

    Raises:
        UsageError: a name, a parameter, a file or a folder can't be used, or no model can be made.
    """
    chosen = tuple(dict.fromkeys(names)) or tuple(CORRUPTIONS)
    if odd := [name for name in chosen if name not in CORRUPTIONS]:
        raise BadParameter(f"no corruption is named {odd[0]!r}{suggestion(odd[0], CORRUPTIONS)}")
    if request.patch is not None:
        raise BadParameter(f"--patch {request.patch} is for attackers, and corruptions have none; leave it out")
    resolved, target = request.resolve(), choose_device(device)
    check_writable(out)
    kept = open_store(store, tell, make=True)
    with job("reading the data"):
        cells = [cell for cell in resolved.cells(load_once(tell)) if cell.attack.name == "none"]
    check_channels(chosen, cells[0].subject.split.channels)
    migrate_store(kept, [cell.identity for cell in cells])
    make_deterministic(target)
    with limited_threads(threads):
        models = list(_measured(cells, chosen, Runner(kept, target), tell))
    if not models:
        raise BadParameter("no model can be made; the lines above say why")
    with job("tables and picture"):
        return _written(models, out, formats)


def _written(models: Sequence[CorruptedModel], out: Path, formats: Sequence[str]) -> CorruptionReport:
    identity = models[0].cell.identity
    folder = out / f"{folder_name(identity)}-corruptions"
    report = CorruptionReport(f"{title_of(identity)} in training", _table(models), corruption_means(models), folder)
    with writing(folder):
        write_table(folder / TABLE, report.table)
        write_table(folder / MEANS, report.means)
        save_corruptions(report.table, report.means, report.title, folder / PICTURE, formats)
    return report


def _measured(cells: Sequence[Cell], names: Sequence[str], runner: Runner, tell: Tell) -> Iterator[CorruptedModel]:
    for cell in track(cells, "models"):
        who = f"{defense_name(cell.defense.label)}, seed {cell.seed}"
        try:
            made = runner.victims.defended(cell)
            if isinstance(made, InvalidCell):
                raise made
            with job(f"{who} under corruptions"):
                yield _corrupted(cell, made, names, runner)
        except InvalidCell as failure:
            tell(f"{who}: left out: {failure}")


def _corrupted(cell: Cell, made: DefendedModel, names: Sequence[str], runner: Runner) -> CorruptedModel:
    victim, queries = made.victim, runner.victims.split(cell).queries
    found = {}
    for name in track(names, "corruptions"):
        seed = derive_seed("corruption", cell.subject.split.digest, name)
        rows = [corrupted_precision(victim, queries, CORRUPTIONS[name], strength, seed) for strength in STRENGTHS]
        found[name] = np.stack(rows)
    clean = corrupted_precision(victim, queries, None, 0, derive_seed("corruption", cell.subject.split.digest, CLEAN))
    if np.isnan(clean).all():
        raise InvalidCell("no query shares a label with any database item; check the labels of the data set")
    return CorruptedModel(cell, made.facts, clean, chance_precision(victim, queries), found, len(victim.gallery.codes))


def _table(models: Sequence[CorruptedModel]) -> pd.DataFrame:
    rows = []
    for model in models:
        identity = model.cell.identity
        shared = {name: identity.get(name, model.facts.get(name)) for name in COLUMNS} | {
            "map_clean": _mean(model.clean), "chance_map": _mean(model.chance), "n_queries": len(model.clean),
            "n_database": model.items, "corruption_version": CORRUPTION_VERSION,
        }  # fmt: skip
        for name, values in model.found.items():
            for strength, each in zip(STRENGTHS, values, strict=True):
                level = CORRUPTIONS[name].levels[strength - 1]
                own = {"corruption": name, "strength": strength, "level": level, "map": _mean(each)}
                rows.append(shared | own)
    return rounded(rows, COLUMNS)


def corruption_means(models: Sequence[CorruptedModel]) -> pd.DataFrame:
    """One row per defense, the highest mean corrupted mAP first."""
    by_defense: dict[str, list[CorruptedModel]] = {}
    for model in models:
        by_defense.setdefault(model.cell.defense.label, []).append(model)
    each = {
        label: scored(np.stack([np.concatenate(list(m.found.values())).mean(0) for m in own]))
        for label, own in by_defense.items()
    }
    rows: list[dict[str, Any]] = []
    for (label, own), interval in zip(by_defense.items(), level_intervals(list(each.values())), strict=True):
        clean, chance, mean = _over(own, "clean"), _over(own, "chance"), float(each[label].mean())
        rows.append({
            "defense": label, "seeds": " ".join(str(m.cell.seed) for m in own), "map_clean": clean,
            **{name: float(np.mean([_mean(m.found[name]) for m in own])) for name in own[0].found},
            "map_corrupted": mean, "ci_low": interval.low if interval else None,
            "ci_high": interval.high if interval else None,
            "kept": (mean - chance) / (clean - chance) if clean > chance else None, "chance_map": chance,
        })  # fmt: skip
    rows.sort(key=lambda row: (-row["map_corrupted"], row["defense"]))
    return rounded(rows, list(rows[0]))


def _over(models: Sequence[CorruptedModel], name: str) -> float:
    return float(np.mean([_mean(getattr(model, name)) for model in models]))


def _mean(values: Values) -> float:
    return float(np.nanmean(values))
