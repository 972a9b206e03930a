"""What the command `hashbench tune` does: trials of all defenses, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from hashbench.api.measure import RunSettings, measured
from hashbench.boards.leaderboard import check_writable
from hashbench.running.request import Request, load_once
from hashbench.running.store import Result
from hashbench.running.tuning import Row, judge_trials, next_trial, read_table, trials, write_table


def tune(
    base: Request, defenses: Sequence[str], settings: RunSettings, table: Path,
    *, grid: Mapping[str, Sequence[str]] | None = None, grow: int,
) -> list[Row]:  # fmt: skip
    """Try all combinations of each defense's grid, then one more of each whose best stands at an end, and so on.

    The table is written after each round, so that a stopped command leaves what is known.

    Args:
        base: the subject, the seeds and the one attack that decides.
        defenses: names, or names with values that every trial keeps.
        table: rows of other defenses, subjects and threats stay in it.
        grid: values to try instead of those that defenses declare.
        grow: most further trials of a defense.

    Returns:
        The rows of these defenses, in their order, each once.

    Raises:
        UsageError: a name, a value, the table or a folder can't be used; nothing has been trained yet.
        ClusterLost: the scheduler can no longer be reached.
    """
    tried = {text: trials(text, grid) for text in defenses}
    label = base.choose_attack(base.attacks[0]).label
    check_writable(table.parent)
    if table.exists():
        read_table(table)
    load = load_once(settings.tell)
    results: list[Result] = []
    rows: dict[str, list[Row]] = {}
    wanted = {text: list(specs) for text, specs in tried.items()}
    for left in reversed(range(grow + 1)):
        asked = [replace(base, defenses=tuple(specs), queries="validation") for specs in wanted.values()]
        results += measured(asked, settings, probing=False, load=load).results
        for text in wanted:
            rows[text] = judge_trials(text, tried[text], label, results)
            write_table(table, rows[text])
        beyond = {text: next_trial(text, rows[text], grid) for text in wanted} if left else {}
        wanted = {text: [trial] for text, trial in beyond.items() if trial is not None}
        for text, further in wanted.items():
            tried[text] += further
        if not wanted:
            break
    return [row for text in tried for row in rows[text]]
