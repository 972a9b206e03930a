"""All models of a leaderboard under a new attack, without one training: which rows it lowers, and by how much."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from hashbench.api.arguments import count_of, files_of, list_of, naming_arguments, path_of, word_of
from hashbench.api.checks import reproducible
from hashbench.api.measure import limited_threads, other_store
from hashbench.api.own_functions import Named, name_of, plugins_of
from hashbench.api.progress import progress_shown, say
from hashbench.api.run import PLUGINS, Place
from hashbench.boards import leaderboard
from hashbench.boards.intervals import intervals
from hashbench.boards.leaderboard import Leaderboard, file_name, model_of
from hashbench.boards.pairing import CLEAN
from hashbench.boards.ranking import RANKED, RankingRow, rank
from hashbench.boards.tables import rounded, write_table, writing
from hashbench.errors import BadInput, BadParameter, HashbenchError
from hashbench.evaluation.judge import Arrays
from hashbench.progress import track
from hashbench.registry import entries
from hashbench.registry.entries import Choice
from hashbench.registry.protocols import Attack
from hashbench.registry.spec import Spec
from hashbench.registry.threats import check_threat
from hashbench.registry.tracks import EVERY, by_track, track_of
from hashbench.running.cell import ADAPTIVE, Cell, defended_key
from hashbench.running.request import Load, load_once
from hashbench.running.runner import Runner, choose_device
from hashbench.running.store import Result, Store
from hashbench.running.victims import DefendedModel
from hashbench.seeds import seeded
from hashbench.threat import Threat
from hashbench.verification.findings import BoardCell
from hashbench.verification.rerun import cell_of, load_defended
from hashbench.verification.rows import flags_of_board, read_cells
from hashbench.verification.zoo import ZOO, fill_store, zoo_digest

STORE = Path("runs") / ZOO
COLUMNS = (
    "defense", "seeds", "attack", "map_clean", "map_attack", "map_attack_on_board", "map_worst", "map_worst_now",
    "change", "change_ci_low", "change_ci_high", "lowered_share", "lowered", "rank", "rank_now", "note",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class AttackedBoard:
    """A leaderboard under new attacks.

    Attributes:
        table: one row per defense and new attack, the most lowered first: mAP under the attack, the same from the
            leaderboard if it has that attack, the worst case without and with it, the change with its 95 % interval,
            the share of queries that are lowered, and the ranks.
        results: the new cells.
        path: of the table as CSV.

    >>> import hashbench
    >>> list(hashbench.AttackedBoard.__dataclass_fields__)
    ['title', 'table', 'results', 'path']
    """

    title: str
    table: pd.DataFrame
    results: tuple[Result, ...]
    path: Path

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        whole: str = self.table.dropna(axis=1, how="all").to_html(index=False, na_rep="")
        return whole


@naming_arguments
def attack_board(
    board: Place, attacks: Sequence[Named], *, plugins: Sequence[Place] = (), defenses: Sequence[str] = (),
    seeds: Sequence[int] = (), store: Place = STORE, models: Place | None = None, out: Place | None = None,
    device: str = "auto", threads: int = 1,
) -> AttackedBoard:  # fmt: skip
    """Attack all models of a leaderboard with something new, without one training.

    Models come from the leaderboard's zoo, and are checked by their digests. Each attack counts by itself: its columns
    say how far it alone would lower each row's worst case. Models that are not to be had are named in the table.

    Args:
        board: the leaderboard's folder.
        attacks: names of untargeted attacks with parameters, or functions registered in a notebook.
        plugins: Python files with attacks of your own; they are executed.
        defenses, seeds: labels and seeds of the rows to attack; all by default.
        store: keeps what is computed, in a folder of its own for the models of this leaderboard, so that a stopped call
            resumes.
        models: a store to take models from that are not in the zoo.
        out: the table's file; by default `attack-board-<attacks>.csv` in the leaderboard's folder.
        device, threads: as of `run`.

    Raises:
        UsageError: the leaderboard, an attack or a file can't be used.

    >>> import hashbench, tempfile
    >>> try:
    ...     hashbench.attack_board(tempfile.mkdtemp(), [])
    ... except hashbench.HashbenchError as error:
    ...     print(error)
    attacks is an empty list; give at least one: attacks=['pgd-hamming']
    """
    texts = [name_of(given, "attack") for given in list_of(attacks, "attacks")]
    rows = list_of(defenses, "defenses"), list_of(seeds, "seeds", 0)
    if not texts:
        raise BadInput("attacks is an empty list; give at least one: attacks=['pgd-hamming']")
    folder, root, threads = path_of(board, "board"), path_of(store, "store"), count_of(threads, "threads")
    other, chosen_device = other_store(models), choose_device(word_of(device, "device"))
    with plugins_of({"attack": texts}, files_of(plugins), root / PLUGINS) as files:
        cells = read_cells(folder)
        choices = [_choice(text, cells) for text in texts]
        wanted = _models(cells, *rows)
        kept = Store(root / f"{folder.resolve().name}-{zoo_digest(str(r.numbers['model_digest']) for r in wanted)}")
        fill_store(folder, [result.identity for result in wanted], kept, other)
        runner = Runner(kept, chosen_device, None, "hashbench attack-board", files)
        with progress_shown(), limited_threads(threads), seeded(0), reproducible(chosen_device):
            found, notes = _attacked(wanted, choices, runner)
        arrays = {result.key: kept.arrays(result) for result in found}
    table = _table(folder, cells, wanted, found, arrays, choices, notes)
    path = _write(table, folder, choices, out)
    return AttackedBoard(Leaderboard(folder.name, tuple(r for r, _ in cells)).title, table, tuple(found), path)


def _write(table: pd.DataFrame, folder: Path, choices: Sequence[Choice[Attack]], out: Place | None) -> Path:
    name = f"attack-board-{'--'.join(file_name(choice.label) for choice in choices)}.csv"
    path = folder / name if out is None else Path(out)
    with writing(path.parent):
        write_table(path, table)
    return path


def _choice(text: str, cells: Sequence[BoardCell]) -> Choice[Attack]:
    found = entries.attacks.choose(Spec.parse(text))
    if found.goal != "untargeted" or found.name == CLEAN:
        raise BadParameter(f"{text} is no untargeted attack; name one that is, since only these lower a worst case")
    tracks = by_track([(str(result.identity["access"]), "") for result, _ in cells])
    if found.access != EVERY and track_of(found.access) not in tracks:
        raise BadParameter(
            f"{text} has access {found.access}, which no attack of the leaderboard has; name one that fits"
        )
    if cells:
        identity = cells[0][0].identity
        check_threat(found, Threat(float(identity["eps"]), identity["norm"]))
    return found


def _models(cells: Sequence[BoardCell], defenses: Sequence[str], seeds: Sequence[int]) -> list[Result]:
    """A clean cell for each model that is to be attacked."""
    clean = [r for r, _ in cells if r.identity["attack"] == CLEAN and r.identity["attacker"] == ADAPTIVE]
    known = {str(r.identity["defense"]) for r in clean}
    if odd := [label for label in defenses if label not in known]:
        raise BadInput(f"the leaderboard has no row of {odd[0]!r}; it has {', '.join(sorted(known))}")
    found = [r for r in clean if not defenses or r.identity["defense"] in defenses]
    found = [r for r in found if not seeds or r.identity["seed"] in seeds]
    if not found:
        there = sorted({r.identity["seed"] for r in clean})
        raise BadInput(
            f"the leaderboard has no clean cells of seed {' or '.join(map(str, seeds))}; it has "
            f"{', '.join(map(str, there)) or 'none at all'}"
        )
    return sorted(found, key=leaderboard.order)


def _attacked(
    models: Sequence[Result], choices: Sequence[Choice[Attack]], runner: Runner
) -> tuple[list[Result], dict[str, str]]:
    """The new cells, and by defense why some are missing."""
    found: list[Result] = []
    notes: dict[str, str] = {}
    load = load_once(say)
    for result in track(models, "models"):
        label = str(result.identity["defense"])
        try:
            base = _base(result, load)
            for choice in choices:
                cell = replace(base, attack=choice, made_with=None)
                if runner.stored(cell) is None and cell.defended_key not in runner.victims.last:
                    runner.victims.remember(cell, _loaded(base, result, runner))
                measured = runner.result(cell)
                if measured.status == "valid":
                    found.append(measured)
                else:
                    notes[label] = f"seed {result.identity['seed']}: {choice.label}: {measured.reason}"
        except HashbenchError as error:
            notes[label] = f"seed {result.identity['seed']}: {error}"
    return found, notes


def _base(result: Result, load: Load) -> Cell:
    """The cell of a row's model, as it is called here.

    Raises:
        BadInput: another version of its defense or of its data made it.
    """
    cell = cell_of(result.identity, load)
    now = replace(cell, made_with=None)
    if now.defended_key != defended_key(result.identity):
        raise BadInput("another version of its defense, method or training made it; it can't be attacked here")
    return cell


def _loaded(base: Cell, result: Result, runner: Runner) -> DefendedModel:
    model = load_defended(base, result.numbers, runner.victims, "name a store of models that has it")
    names = ("train_forwards", "train_backwards", "model_digest", "codes_digest")
    return replace(model, facts={name: result.numbers.get(name, "") for name in names})


def _table(
    folder: Path, cells: Sequence[BoardCell], models: Sequence[Result], found: Sequence[Result],
    arrays: Mapping[str, Arrays], choices: Sequence[Choice[Attack]], notes: Mapping[str, str],
) -> pd.DataFrame:  # fmt: skip
    """The rows of the table; ranks are those of the whole leaderboard, without and with the attack."""
    held = {**{result.key: own for result, own in cells}, **arrays}
    whole, flags = [result for result, _ in cells], flags_of_board(folder)
    before = _ranking(folder, whole, held, flags)
    rows = []
    for choice in choices:
        new = [result for result in found if result.identity["attack"] == choice.label]
        after = _ranking(folder, [*whole, *new, *_not_attacked(whole, new, choice)], held, flags)
        for label in dict.fromkeys(str(result.identity["defense"]) for result in models):
            own = [result for result in new if result.identity["defense"] == label]
            rows.append(_row(label, choice.label, whole, own, before[label], after[label], held) | {
                "note": notes.get(label, "")
            })  # fmt: skip
    rows.sort(key=lambda row: (row["change"] is None, row["change"] or 0.0))
    return rounded(rows, COLUMNS)


def _not_attacked(whole: Sequence[Result], new: Sequence[Result], choice: Choice[Attack]) -> Iterator[Result]:
    """For each model without a result of an attack, one that leaves its worst case as it is, so that it keeps a rank.

    Each is a result of the same model on the board, under the attack's name.
    """
    done = {model_of(result) for result in new}
    for result in whole:
        identity, model = result.identity, model_of(result)
        counts = identity["goal"] == "untargeted" and identity["attacker"] == ADAPTIVE and identity["attack"] != CLEAN
        if counts and model not in done:
            done.add(model)
            params = {"attack": choice.label, "attack_params": choice.visible}
            yield replace(result, identity={**identity, **params})


def _ranking(
    folder: Path, results: Sequence[Result], held: Mapping[str, Arrays], flags: Mapping[str, Sequence[str]]
) -> dict[str, RankingRow]:
    board = Leaderboard(folder.name, tuple(results))
    return {row.defense: row for row in rank(board, lambda result: held.get(result.key, {}), flags)}


def _row(
    label: str, attack: str, whole: Sequence[Result], own: Sequence[Result], before: RankingRow, after: RankingRow,
    held: Mapping[str, Arrays],
) -> dict[str, object]:  # fmt: skip
    seeds = [result.identity["seed"] for result in own]
    there = [
        result.numbers["map"]
        for result in whole
        if (result.identity["defense"], result.identity["attack"], result.identity["attacker"])
        == (label, attack, ADAPTIVE)
        and result.identity["seed"] in seeds
    ]
    row: dict[str, object] = {
        "defense": label, "attack": attack, "seeds": " ".join(map(str, seeds)), "map_clean": before.clean,
        "map_attack": _mean([result.numbers["map"] for result in own]),
        "map_attack_on_board": _mean(there) if len(there) == len(own) else None,
        "map_worst": before.value, "change": None, "rank": before.rank if before.status == RANKED else None,
    }  # fmt: skip
    shared = [seed for seed in before.seeds if seed in seeds]
    if not shared or not before.worst.size:
        return row
    worst = before.worst[[before.seeds.index(seed) for seed in shared]]
    fresh = {result.identity["seed"]: held[result.key]["average_precision"] for result in own}
    new = np.stack([fresh[seed] for seed in shared])
    now = np.minimum(worst, new[:, ~np.isnan(new).any(axis=0)])
    (interval,) = intervals([now - worst])
    lowered = float((worst - now > 0).mean())
    return row | {
        "map_worst": float(worst.mean()), "map_worst_now": float(now.mean()), "change": float((now - worst).mean()),
        "change_ci_low": interval.low if interval else None, "change_ci_high": interval.high if interval else None,
        "lowered_share": lowered, "lowered": lowered > 0,
        "rank_now": after.rank if after.status == RANKED else None,
    }  # fmt: skip


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
