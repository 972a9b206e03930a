"""The command `hashbench certify`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from hashbench.cli import options
from hashbench.cli.endings import say
from hashbench.errors import BadParameter, InvalidCell
from hashbench.progress import job


@click.command(epilog="Example: hashbench certify --defense ibp --defense cgat")
@options.options(
    click.option("--defense", "defenses", multiple=True, metavar="NAME", help="A defense. Repeatable."),
    options.subject,
    click.option(
        "--seed", "seeds", type=click.IntRange(0), multiple=True, default=(0,), show_default=True,
        help="Seed of trainings. Repeatable.",
    ),
    options.training,
    options.device,
    options.store,
    options.out,
    options.plugin,
    options.quiet,
)  # fmt: skip
def certify(
    device: str, store: Path, out: Path, plugins: Sequence[Path], seeds: Sequence[int], quiet: bool, **words: Any
) -> None:
    """Certify defended models: a lower bound on mAP that holds for every attack.

    Models that are not in the store are trained first; the undefended one is always included. A certificate bounds
    each query's AP over all images within the budget, by interval and linear bounds of the network's layers. It is
    checked against every stored attack on the model: an AP below it reveals an error, and the command ends with
    exit code 1. Models whose layers have no bounds, or that draw random numbers, are named and skipped.
    """
    from hashbench.boards.certificates import certificate_lines, certificate_table
    from hashbench.boards.leaderboard import check_writable, folder_name
    from hashbench.boards.tables import write_table, writing
    from hashbench.boards.terminal import print_lines, shown_progress
    from hashbench.certification.refusal import NoCertificate
    from hashbench.registry import entries
    from hashbench.running.certificates import CertifiedModel, certify_cell, contradictions
    from hashbench.running.checkpoints import Checkpoints
    from hashbench.running.request import Request, load_once
    from hashbench.running.runner import choose_device, make_deterministic
    from hashbench.running.victims import Victims

    for path in plugins:
        entries.load_plugin(path)
    resolved, target = Request(seeds=tuple(seeds), **words).resolve(), choose_device(device)
    check_writable(out)
    kept = options.open_store(store, make=True)
    make_deterministic(target)
    victims, found, problems = Victims(Checkpoints(kept), target), list[CertifiedModel](), list[str]()
    for cell in resolved.cells(load_once()):
        try:
            with shown_progress(quiet=quiet), job(f"certificate of {cell.defense.label}, seed {cell.seed}"):
                found.append(certify_cell(cell, victims))
        except NoCertificate as refusal:
            print_lines([f"{cell.defense.label}, seed {cell.seed}: no certificate: {refusal}"])
        except InvalidCell as failure:
            raise BadParameter(f"{cell.defense.label} can't be certified: {failure}") from None
    print_lines(certificate_lines(found, kept))
    for one in found:
        problems += contradictions(one, kept)
    if found:
        folder = out / folder_name(found[0].cell.identity)
        with writing(folder):
            write_table(folder / "certificates.csv", certificate_table(found, kept))
        say(f"written to {folder / 'certificates.csv'}")
    for line in problems:
        say(f"below its certificate: {line}", err=True)
    if problems:
        click.get_current_context().exit(1)
