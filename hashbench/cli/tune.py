"""The commands `hashbench tune` and `hashbench study`, which choose on validation queries."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hashbench.cli import options
from hashbench.cli.endings import resumable, say
from hashbench.cli.sections import Whole
from hashbench.errors import BadParameter

if TYPE_CHECKING:
    from hashbench.running.request import Request

SEED = 1000  # used by no table
ATTACK = "pgd-hamming:steps=20,restarts=1"
GROW = 6  # further trials: enough to look beyond a corner of two numbers on all sides
TRIALS = "tuning"  # a folder inside the store, so that trials never appear in tables


@click.command(epilog="Example: hashbench tune cgat:epochs=2 --grid weight=1,3 --grow 1")
@click.argument("defenses", nargs=-1, required=True)
@options.options(
    options.subject,
    click.option("--attack", default=ATTACK, show_default=True, metavar="NAME", help="The attack that decides."),
    click.option(
        "--seed", "seeds", type=options.SEED, multiple=True, default=(SEED,), show_default=True,
        help="Seed of the trials; don't use one that appears in a table. Repeatable.",
    ),
    click.option(
        "--extend", is_flag=True,
        help="Take trials that the table has of these defenses, by the same attack and seeds, as they are.",
    ),
    click.option("--grid", multiple=True, metavar="NAME=a,b", help="Values to try instead. Repeatable."),
    click.option(
        "--grow", type=Whole(0), default=GROW, show_default=True,
        help="Most further trials of a defense, while its best one stands at the end of its grid.",
    ),
    options.device,
    options.store,
    click.option(
        "--out", type=click.Path(path_type=Path, dir_okay=False), default=Path("tuned.csv"), show_default=True,
        help="The table of all trials, for `hashbench run --tuned`.",
    ),
    options.spread,
    options.plugin,
    options.quiet,
)  # fmt: skip
def tune(store: Path, **words: Any) -> None:
    """Tune hyper-parameters of defenses, with few trials for each, none with more than another may have.

    DEFENSES are names of defenses, each with its own small grid. Every combination is trained, and
    attacked on the validation queries, which no table uses; the highest mAP under attack wins. Where
    the best one stands at the end of its grid, a few trials beyond it follow. Rows of other defenses
    and data sets stay in the table; with --extend also those of these defenses, which are not made again.
    """
    with resumable(store):
        _tune(store=store, **words)


def _tune(
    *, defenses: tuple[str, ...], attack: str, grid: tuple[str, ...], grow: int, extend: bool, device: str, store: Path,
    out: Path, plugins: Sequence[Path], workers: int | None, scheduler: str | None, threads: int, quiet: bool,
    **words: Any,
) -> None:  # fmt: skip
    options.begin_workers(workers)
    from hashbench.api.measure import RunSettings
    from hashbench.api.tune import tune
    from hashbench.boards.terminal import shown_progress
    from hashbench.registry import entries
    from hashbench.running.request import Request

    for path in plugins:
        entries.load_plugin(path)
    settings = RunSettings(  # no leaderboards are written, and none are searched for weights
        store / TRIALS, store / TRIALS, device, plugins=tuple(plugins), workers=workers, scheduler=scheduler,
        threads=threads, command=options.command_line(), certifying=False, tell=options.tell,
    )  # fmt: skip
    with shown_progress(quiet=quiet):
        rows = tune(
            Request(attacks=(attack,), **words),
            defenses,
            settings,
            out,
            grid=_read_grid(grid),
            grow=grow,
            extend=extend,
        )
    for row in rows:
        mark = "chosen" if row["chosen"] == "yes" else ""
        click.echo(f"{row['trial']:<60} clean {row['map_clean'] or '-':>8}  attacked {row['map'] or '-':>8}  {mark}")
    say(f"written to {out}; use it with 'hashbench run --tuned {out}'")


def _read_grid(given: Sequence[str]) -> dict[str, list[str]] | None:
    grid: dict[str, list[str]] = {}
    for text in given:
        name, equals, values = text.partition("=")
        if not (name and equals and values):
            raise BadParameter(f"can't read --grid {text}; write NAME=a,b such as learning_rate=0.01,0.02")
        grid.setdefault(name, []).extend(values.split(","))
    return grid or None


@click.command(epilog="Example: hashbench study variants.toml --reference cgat")
@click.argument("suite", metavar="FILE")
@options.options(
    click.option(
        "--reference", metavar="NAME",
        help="The defense with which the others are compared.  [default: the first one of each subject]",
    ),
    options.device,
    options.store,
    click.option(
        "--out", type=click.Path(path_type=Path, file_okay=False), default=Path("study"), show_default=True,
        help="Folder for seeds.csv and variants.csv.",
    ),
    click.option("--dry-run", is_flag=True, help="Only print what would run, and how long."),
    options.spread,
    options.plugin,
    options.quiet,
)  # fmt: skip
def study(store: Path, **words: Any) -> None:
    """Compare variants of defenses on validation queries, which no leaderboard uses.

    FILE is a suite: its defenses are the variants, each trained with each seed. Besides the validation
    queries, as many training images are attacked: a model that is far better on these has fitted them
    too closely. The same command resumes a stopped study. The first table has a row for each
    variant and seed, the second one for each variant, with paired differences from the reference.
    """
    with resumable(store):
        _study(store=store, **words)


def _study(
    *, suite: str, reference: str | None, device: str, store: Path, out: Path, dry_run: bool, workers: int | None,
    scheduler: str | None, threads: int, plugins: Sequence[Path], quiet: bool,
) -> None:  # fmt: skip
    if not dry_run:
        options.begin_workers(workers)
    from dataclasses import replace

    from hashbench.api.measure import RunSettings, measured
    from hashbench.api.study import studies, write_study
    from hashbench.boards.terminal import print_study, shown_progress
    from hashbench.registry import entries
    from hashbench.running.suite import read_suite

    for path in plugins:
        entries.load_plugin(path)
    requests = [replace(request, queries="study") for request in read_suite(suite).requests]
    variants = [request.choose_defense(text).label for request in requests for text in ("none", *request.defenses)]
    base = requests if reference is None else _among(variants, reference, requests[0], suite)
    if dry_run:
        options.say_forecast(requests, device, store / TRIALS)
        return
    settings = RunSettings(
        store / TRIALS, out, device, plugins=tuple(plugins), workers=workers, scheduler=scheduler, threads=threads,
        command=options.command_line(), certifying=False, tell=options.tell,
    )  # fmt: skip
    with shown_progress(quiet=quiet):
        found = measured(requests, settings, probing=False)
    splits = {cell.subject.split.digest: cell.subject.split for cell in found.cells}
    made = studies(found.results, found.store.arrays, splits, base)
    for one in made:
        print_study(one.variants_table(), one.reference)
    for path in write_study(made, out):
        say(f"written to {path}")


def _among(variants: Sequence[str], reference: str, request: Request, suite: str) -> str:
    """The label of a reference that is one of the variants."""
    label = request.choose_defense(reference).label
    if label not in variants:
        known = ", ".join(dict.fromkeys(variants))
        raise BadParameter(f"the reference {label} is not among the variants of {suite}; take one of {known}")
    return label
