"""The command `hashbench`. Nothing slow is imported before a command needs it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click
from click.core import ParameterSource

from hashbench.cli import options
from hashbench.cli.certify import certify
from hashbench.cli.check import check
from hashbench.cli.compare import compare
from hashbench.cli.corruptions import corruptions
from hashbench.cli.data import data
from hashbench.cli.endings import end, resumable, say
from hashbench.cli.examples import gallery
from hashbench.cli.listing import list_
from hashbench.cli.migrate import migrate, restore
from hashbench.cli.sections import NameAmong, SectionedGroup, Whole
from hashbench.cli.tune import study, tune
from hashbench.cli.verify import submit, verify
from hashbench.cli.zoo import attack_board, break_
from hashbench.errors import BadParameter, StoreUnusable
from hashbench.readers.toml_files import AllowedAccess

if TYPE_CHECKING:
    from hashbench.api.measure import MeasuredBoard
    from hashbench.metrics.score import Retrieval
    from hashbench.running.request import Request

SCORES = ("map", "map_low", "map_high", "chance_map")


def main() -> None:
    """Run the command line; every error is one line on standard error."""
    # Set before torch is loaded: its idle threads would spin, and two runs at once would starve each other.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    end(lambda: cli.main(standalone_mode=False))


_SEED: dict[str, Any] = {
    "type": options.SEED, "multiple": True, "default": (0,), "show_default": True,
    "help": "Seed of trainings and attacks. Repeatable.",
}  # fmt: skip


@click.group(
    cls=SectionedGroup, context_settings={"help_option_names": ["-h", "--help"]}, epilog="Example: hashbench list"
)
@click.version_option(package_name="hashbench")
def cli() -> None:
    """Measure how robust deep hashing retrieval is: defenses against attacks, in comparable numbers.

    Names take parameters: NAME:parameter=value,parameter=value.
    """


cli.add_command(list_)
cli.add_command(data)
cli.add_command(tune)
cli.add_command(study)
cli.add_command(certify)
cli.add_command(corruptions)
cli.add_command(check)
cli.add_command(compare)
cli.add_command(verify)
cli.add_command(submit)
cli.add_command(gallery)
cli.add_command(migrate)
cli.add_command(restore)
cli.add_command(attack_board)
cli.add_command(break_)


@cli.command(epilog="Example: hashbench run --defense cgat --attack pgd-hamming")
@options.options(
    click.option("--defense", "defenses", multiple=True, metavar="NAME", help="A defense. Repeatable."),
    click.option("--attack", "attacks", multiple=True, metavar="NAME", help="An attack. Repeatable."),
    options.subject,
    click.option(
        "--access", type=NameAmong("access", get_args(AllowedAccess)),
        help="Allow only attacks with this access to the model; ranking: ids of the top items and nothing else.",
    ),
    click.option("--seed", "seeds", **_SEED),
    options.training,
    options.device,
    options.out,
    options.formats,
    options.store,
    click.option("--fresh", is_flag=True, help="Train and attack again, ignoring what is stored."),
    click.option(
        "--suite", metavar="NAME",
        help="A set of runs that comes with hashbench, or a .toml file; --defense and --attack extend each run.",
    ),
    options.keep_models,
    options.zoo,
    click.option("--dry-run", is_flag=True, help="Only print what is missing, what would run, and how long."),
    options.certifying,
    options.spread,
    options.plugin,
    options.quiet,
)  # fmt: skip
def run(store: Path, **words: Any) -> None:
    """Train, defend, attack, and write the matrix of mAPs.

    The undefended model and the clean queries are always included. Nothing that is already in the store
    is recomputed, so the same command resumes a stopped run. The tables hold the cells of this command;
    `hashbench report` makes them from all cells of a store.
    """
    with resumable(store):
        _run(store=store, **words)


def _run(
    *, device: str, out: Path, formats: Sequence[str], store: Path, fresh: bool, suite: str | None, dry_run: bool,
    plugins: Sequence[Path], workers: int | None, scheduler: str | None, threads: int, keep_models: bool,
    zoo: Path | None, certifying: str,
    quiet: bool, **words: Any,
) -> None:  # fmt: skip
    if not dry_run:
        options.begin_workers(workers)
    from hashbench.api.measure import RunSettings, measured_boards
    from hashbench.boards.terminal import shown_progress
    from hashbench.registry import entries

    settings = RunSettings(
        store, out, device, fresh, tuple(plugins), workers, scheduler, threads, options.command_line(), keep_models,
        zoo, certifying == "yes", options.tell,
    )  # fmt: skip
    settings.check()
    for path in plugins:
        entries.load_plugin(path)
    requests = _requests(suite, words)
    if dry_run:
        options.say_forecast(requests, device, store, out if zoo is None else zoo, fresh=fresh)
        return
    with shown_progress(quiet=quiet):
        boards = measured_boards(requests, settings)
    _show(boards, out, formats, keep_models=keep_models, quiet=quiet)


def _show(
    boards: Sequence[MeasuredBoard], out: Path, formats: Sequence[str], *, keep_models: bool, quiet: bool
) -> None:
    """Print and write leaderboards."""
    from hashbench.boards import probe_tables
    from hashbench.boards.terminal import print_lines, print_matrix, shown_progress
    from hashbench.progress import job

    for board in boards:
        print_matrix(board.leaderboard, board.ranking)
        print_lines(probe_tables.lines(board.reports))
        with shown_progress(quiet=quiet), job(f"tables and pictures of {board.leaderboard.title}"):
            written = board.write(out, formats, keep_models=keep_models, tell=options.tell)
        say(f"written to {written}")


def _requests(suite: str | None, words: dict[str, Any]) -> list[Request]:
    """The runs that the options ask for: one, or those of a suite with the other options applied."""
    from dataclasses import replace

    from hashbench.running.request import Request
    from hashbench.running.suite import read_suite

    if suite is None:
        return [Request(**words)]
    context = click.get_current_context()
    given = {name for name in words if context.get_parameter_source(name) is ParameterSource.COMMANDLINE}
    if fixed := sorted(given - {"defenses", "attacks", "seeds", "amp"}):
        raise BadParameter(f"--{fixed[0]} is fixed by --suite {suite}; leave one of them out")
    return [
        replace(
            request,
            defenses=(*request.defenses, *words["defenses"]),
            attacks=(*request.attacks, *words["attacks"]),
            seeds=words["seeds"] if "seeds" in given else request.seeds,
            amp=words["amp"],
        )
        for request in read_suite(suite).requests
    ]


@cli.command(epilog="Example: hashbench report --store runs --out leaderboards --html")
@options.store
@options.out
@options.formats
@options.keep_models
@click.option("--html", is_flag=True, help="Also write OUT/index.html, one page with all leaderboards in OUT.")
@options.quiet
def report(store: Path, out: Path, formats: Sequence[str], html: bool, keep_models: bool, quiet: bool) -> None:
    """Rebuild all tables and pictures from a store alone, without training or attacking."""
    from hashbench.api.measure import ranked_boards
    from hashbench.boards.tables import check_writable

    kept = options.open_store(store)
    check_writable(out)
    results = list(kept.cells())
    if not results:
        raise StoreUnusable(f"{store} holds no results yet; make some with 'hashbench run'")
    _show(ranked_boards(results, kept), out, formats, keep_models=keep_models, quiet=quiet)
    if html:
        with kept.lock_boards(out):
            _write_page(out)


@cli.command(epilog="Example: hashbench page leaderboards")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--pictures", is_flag=True, help="First draw the pictures of each leaderboard again, from its files.")
def page(folder: Path, pictures: bool) -> None:
    """Write FOLDER/index.html: one page with all leaderboards in a folder, from their files alone."""
    if pictures:
        from hashbench.verification.board import boards_in, draw_again

        for board in boards_in([folder]):
            draw_again(board)
            say(f"drawn: {board}")
    _write_page(folder)


def _write_page(folder: Path) -> None:
    from hashbench.boards.page import write_page
    from hashbench.evaluation.flags import meanings

    say(f"written to {write_page(folder, meanings())}")


@cli.command(epilog="Example: hashbench score codes.npz --at 1000")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--at", type=Whole(1), metavar="K", help="Score the first K ranks only: AP@K.")
@click.option("--queries", is_flag=True, help="Also print each query's AP.")
@options.as_json
def score(file: Path, at: int | None, queries: bool, as_json: bool) -> None:
    """Score your own codes.

    FILE is an .npz file with query_codes and database_codes [items, bits] (only signs matter) and
    query_labels and database_labels [items, classes] (multi-hot). Prints mAP, expected over the orders
    of tied items, with its values in the worst and the best order, and the chance level.
    """
    from hashbench.metrics.score import score_file

    found = score_file(file, at)
    if as_json:
        each = {"average_precision": found.average_precision, "low": found.low, "high": found.high}
        document = {name: getattr(found, name) for name in (*SCORES, "n_without_relevant")}
        options.print_document(document | ({name: v.tolist() for name, v in each.items()} if queries else {}))
    else:
        click.echo(_scores(found, queries))


def _scores(found: Retrieval, queries: bool) -> str:
    lines = [f"{name:<19} {getattr(found, name):.6f}" for name in SCORES]
    lines.append(f"n_without_relevant  {found.n_without_relevant}")
    if queries:
        lines.append("query,average_precision,low,high")
        rows = zip(found.average_precision, found.low, found.high, strict=True)
        lines += [f"{i}," + ",".join("" if v != v else f"{v:.6f}" for v in row) for i, row in enumerate(rows)]
    return "\n".join(lines)
