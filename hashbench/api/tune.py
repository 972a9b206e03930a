"""What the command `hashbench tune` does: trials of all defenses, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from hashbench.api.measure import RunSettings, measured
from hashbench.boards.tables import check_writable, writing
from hashbench.running.request import Load, Request, load_once
from hashbench.running.store import Result
from hashbench.running.trial_tables import Row, read_table, write_table
from hashbench.running.tuning import held_trials, judge_trials, label_of, next_trial, place_of, trials


def tune(
    base: Request, defenses: Sequence[str], settings: RunSettings, table: Path,
    *, grid: Mapping[str, Sequence[str]] | None = None, grow: int, extend: bool = False,
) -> list[Row]:  # fmt: skip
    """Try all combinations of each defense's grid, then one more of each whose best stands at an end, and so on.

    The table is written after each round, so that a stopped command leaves what is known.

    Args:
        base: the subject, the seeds and the one attack that decides.
        defenses: names, or names with values that every trial keeps.
        table: rows of other defenses, subjects and threats stay in it.
        grid: values to try instead of those that defenses declare.
        grow: most further trials of a defense.
        extend: take trials that the table has of these defenses as they are.

    Returns:
        The rows of these defenses, in their order, each once.

    Raises:
        UsageError: a name, a value, the table or a folder can't be used; nothing has been trained yet.
        ClusterLost: the scheduler can no longer be reached.
    """
    wanted = {text: trials(text, grid) for text in defenses}
    label = base.choose_attack(base.attacks[0]).label
    check_writable(table.parent)
    known = read_table(table) if table.exists() else []
    load = load_once(settings.tell)
    held = _held(base, defenses, label, known, load) if extend else {text: [] for text in wanted}
    tried = {text: [row["trial"] for row in rows] for text, rows in held.items()}
    for text, specs in wanted.items():
        labels = {label_of(trial) for trial in tried[text]}
        wanted[text] = [spec for spec in specs if label_of(spec) not in labels]
        tried[text] += wanted[text]
    results: list[Result] = []
    rows: dict[str, list[Row]] = {}
    for left in reversed(range(grow + 1)):
        asked = [replace(base, defenses=tuple(specs), queries="validation") for specs in wanted.values() if specs]
        results += measured(asked, settings, probing=False, load=load).results if asked else []
        for text in wanted:
            rows[text] = judge_trials(text, tried[text], label, results, held[text])
            with writing(table.parent):
                write_table(table, rows[text])
        beyond = {text: next_trial(text, rows[text], grid) for text in wanted} if left else {}
        wanted = {text: [trial] for text, trial in beyond.items() if trial is not None}
        for text, further in wanted.items():
            tried[text] += further
        if not wanted:
            break
    return [row for text in tried for row in rows[text]]


def _held(
    base: Request, defenses: Sequence[str], attack: str, table: Sequence[Row], load: Load
) -> dict[str, list[Row]]:
    """The rows of a table that stand for trials of these defenses, by defense."""
    (cell, *_) = replace(base, defenses=(), attacks=(), queries="validation").resolve().cells(load)
    place = place_of(cell.identity, attack, base.seeds)
    return {text: held_trials(text, place, table) for text in defenses}
