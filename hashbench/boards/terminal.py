"""Terminal output: tables, progress bars, and lines of progress where there is no terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import pandas as pd
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from hashbench.boards.compare import Comparison, format_p
from hashbench.boards.intervals import ConfidenceInterval
from hashbench.boards.leaderboard import Leaderboard, attack_of
from hashbench.boards.ranking import RANKED, RankingRow
from hashbench.progress import LogLines, shown_on
from hashbench.readers.text import printable
from hashbench.registry.short_labels import cell_name, defense_name

WIDE = 240  # columns of a file or a pipe
LONGEST = 4000  # characters of a line
WORST, CERTIFIED, GROUP = "worst case", "certified", "rank group"


def print_matrix(board: Leaderboard, ranking: Sequence[RankingRow] = ()) -> None:
    """Print mAP in percent with tie bounds, the worst case and the chance level, then what is invalid or not ranked."""
    console = _console()
    numbers = next((r.numbers for r in board.results if r.numbers), None)
    queries = f"; {numbers['n_queries']} queries, {numbers['n_database']} in the database" if numbers else ""
    seeds = ", ".join(map(str, board.seeds))
    console.print(_plain(f"{board.title}{queries}; seed{'s' if len(board.seeds) > 1 else ''} {seeds}"))
    found = {s.defense: s for s in ranking if s.value is not None}
    last = _last_columns(ranking)
    console.print(_by_attack(board, last) if board.tall else _by_defense(board, last))
    console.print(Text("mAP in percent, expected over the orders of tied items [worst order, best order]"))
    if found:
        console.print(Text("worst case: per-query lowest AP over all untargeted attacks [95 % interval], for ranking"))
    if CERTIFIED in last:
        console.print(Text("certified: no attack within the budget can go below it; if it is low, nothing is proved"))
    if any(map(board.targeted, board.attacks)):
        console.print(Text("t-MAP: mAP with respect to the target labels of a targeted attack; high means it succeeds"))
    for result in board.results:
        if result.status != "valid":
            who = f"{cell_name(result.identity['defense'], attack_of(result))}, seed {result.identity['seed']}"
            console.print(_plain(f"invalid: {who}: {result.reason}"), soft_wrap=True)
    for ranked in found.values():
        if ranked.status not in (RANKED, "invalid"):
            line = f"not ranked: {defense_name(ranked.defense)}: {ranked.status}; {ranked.note}"
            console.print(_plain(line), soft_wrap=True)
    for ranked in ranking:
        if ranked.certificate.note:
            line = f"no certificate: {defense_name(ranked.defense)}: {ranked.certificate.reason}"
            console.print(_plain(line), soft_wrap=True)


def print_lines(lines: Iterable[str]) -> None:
    """Print lines without breaking them, however narrow the terminal is."""
    console = _console()
    for line in lines:
        console.print(_plain(line), soft_wrap=True)


def _last_columns(ranking: Sequence[RankingRow]) -> dict[str, dict[str, str]]:
    """What follows the attacks in a table: by column and defense, worst case, certified mAP and rank group."""
    found: dict[str, dict[str, str]] = {}
    if any(row.value is not None for row in ranking):
        found[WORST] = {row.defense: _bounded(row.value, row.interval) for row in ranking}
    if any(row.certificate.value is not None for row in ranking):
        found[CERTIFIED] = {row.defense: _bounded(row.certificate.value, row.certificate.interval) for row in ranking}
    if WORST in found:
        found[GROUP] = {row.defense: str(row.group or "-") for row in ranking}
    return found


def _by_defense(board: Leaderboard, last: Mapping[str, Mapping[str, str]]) -> Table:
    """Defenses by attacks."""
    table = Table()
    table.add_column("defense")
    for attack in board.attacks:
        table.add_column(_plain(_attack_name(board, attack)), justify="right")
    for name in last:
        table.add_column(name, justify="right")
    for defense in board.defenses:
        squares = [_square(board, defense, attack) for attack in board.attacks]
        row = (defense_name(defense), *squares, *(column.get(defense, "-") for column in last.values()))
        table.add_row(*map(_plain, row))
    if board.chance is not None:
        levels = [*map(board.chance_of, board.attacks), *(board.chance if name == WORST else None for name in last)]
        table.add_section()
        table.add_row("chance", *map(_percent, levels))
    return table


def print_comparison(comparison: Comparison) -> None:
    """Print differences in mAP points with intervals and p values, clean mAP, training costs and the conclusion."""
    console, pairing = _console(), comparison.pairing
    one, other = map(defense_name, pairing.defenses)
    table = Table()
    table.add_column("attack")
    for name in (one, other, "difference [95 % interval]", "p (Holm)", "queries"):
        table.add_column(_plain(name), justify="right")
    for row in comparison.rows:
        name = f"{row.attack} t-MAP" if row.measure == "t_map" else row.attack
        points = f"{100 * row.difference:+.1f} [{100 * row.low:+.1f}, {100 * row.high:+.1f}]"
        cells = (_percent(row.first), _percent(row.second), points, format_p(row.p_holm), str(row.queries))
        table.add_row(*map(_plain, (name, *cells)))
    table.add_section()
    table.add_row("clean", *map(_percent, comparison.clean))
    costs = ("?" if cost is None else f"{cost:.1f} x" for cost in comparison.cost)
    table.add_row("training cost", *costs)
    console.print(table)
    console.print(_plain(f"mAP in percent; a positive difference favours {one}, also with t-MAP"), soft_wrap=True)
    console.print(Text("training cost: forward and backward passes, relative to the undefended model"), soft_wrap=True)
    left_out = f"; incomplete and left out: {', '.join(map(str, pairing.left_out))}" if pairing.left_out else ""
    console.print(_plain(f"seeds: {', '.join(map(str, pairing.seeds))}{left_out}"), soft_wrap=True)
    console.print(_plain(comparison.sentence), soft_wrap=True)


def print_study(table_of_variants: pd.DataFrame, reference: str) -> None:
    """Print a study's variants: mAPs in percent, and differences from the reference in points with intervals."""
    console, table = _console(), Table()
    table.add_column("variant")
    names = {"clean": "map_clean", "fast": "map_fast", "full": "map_full", "on training images": "train_fast"}
    for name in (*names, "clean difference", "worst-case difference [95 % interval]", "passes"):
        table.add_column(name, justify="right")
    for row in table_of_variants.to_dict("records"):
        worst = "full" if row["delta_full"] is not None else "fast"
        levels = [_percent(row[column]) for column in names.values()]
        passes = "-" if row["passes"] is None else f"{row['passes']:.0f}"
        cells = (defense_name(str(row["defense"])), *levels, _points(row, "clean"), _points(row, worst), passes)
        table.add_row(*map(_plain, cells))
    console.print(table)
    line = "fast: lowest AP per query without the versioned attack sets; full: with them; differences from "
    console.print(_plain(line + defense_name(reference)), soft_wrap=True)


def _points(row: Mapping[Hashable, Any], measure: str) -> str:
    if row[f"delta_{measure}"] is None:
        return "-"
    mean, low, high = (100 * row[f"delta_{measure}{end}"] for end in ("", "_low", "_high"))
    return f"{mean:+.1f} [{low:+.1f}, {high:+.1f}]"


def _plain(text: str) -> Text:
    """Untrusted text, without markup and without control characters."""
    return Text(printable(text, LONGEST))


class _Output(Console):
    """Standard output, whose reader may leave at any time: what was asked for is still done."""

    def on_broken_pipe(self) -> None:
        """Say the rest to nobody."""
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _console() -> Console:
    console = _Output(highlight=False)
    return console if console.is_terminal else _Output(highlight=False, width=WIDE)


def _write_line(line: str) -> None:
    """A line on standard error; where it can't be written, the work goes on without."""
    with suppress(OSError, ValueError):
        sys.stderr.write(f"{printable(line, LONGEST)}\n")
        sys.stderr.flush()


def _by_attack(board: Leaderboard, last: Mapping[str, Mapping[str, str]]) -> Table:
    """Attacks by defenses, when there are too many attacks for columns; with each attack's access."""
    table = Table()
    for name in ("attack", "access"):
        table.add_column(name)
    for defense in board.defenses:
        table.add_column(_plain(defense_name(defense)), justify="right")
    table.add_column("chance", justify="right")
    for attack in board.attacks:
        squares = (_square(board, defense, attack) for defense in board.defenses)
        chance = _percent(board.chance_of(attack))
        table.add_row(*map(_plain, (_attack_name(board, attack), board.access(attack), *squares, chance)))
    if last:
        table.add_section()
    for name, column in last.items():
        row = (column.get(defense, "-") for defense in board.defenses)
        table.add_row(*map(_plain, (name, "", *row, _percent(board.chance) if name == WORST else "")))
    return table


def _attack_name(board: Leaderboard, attack: str) -> str:
    return "clean" if attack == "none" else board.column(attack)


def _square(board: Leaderboard, defense: str, attack: str) -> str:
    if not board.cells(defense, attack):
        return "-"
    means = []
    for number in ("map", "map_low", "map_high"):
        values = board.values(defense, attack, number)
        if not values:
            return "invalid"
        means.append(100 * sum(values) / len(values))
    return f"{means[0]:.1f} [{means[1]:.1f}, {means[2]:.1f}]"


def _bounded(level: float | None, interval: ConfidenceInterval | None) -> str:
    """A level with its interval, if it has one."""
    if level is None:
        return "-"
    bounds = f" [{100 * interval.low:.1f}, {100 * interval.high:.1f}]" if interval else ""
    return f"{100 * level:.1f}{bounds}"


def _percent(level: float | None) -> str:
    return "" if level is None else f"{100 * level:.1f}"


class Bars:
    """Progress bars with the time left, one per running loop."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress

    def begin(self, name: str, total: int | None) -> int:
        """Show a bar."""
        return int(self.progress.add_task(name, total=total))

    def advance(self, handle: int) -> None:
        """Advance a bar by one step."""
        self.progress.advance(handle)  # type: ignore[arg-type]

    def end(self, handle: int) -> None:
        """Remove a bar."""
        self.progress.remove_task(handle)  # type: ignore[arg-type]


@contextmanager
def shown_progress(*, quiet: bool = False) -> Iterator[None]:
    """Show the progress of what runs inside the block on standard error: bars in a terminal, else lines.

    Args:
        quiet: show nothing.
    """
    console = Console(stderr=True)
    if quiet:
        yield
        return
    if not console.is_terminal:
        with LogLines(_write_line) as lines, shown_on(lines, lines):
            yield
        return
    columns = (TextColumn("{task.description:>24}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress, shown_on(Bars(progress)):
        yield
