"""The command `hashbench certify`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from hashbench.cli import options
from hashbench.cli.endings import say
from hashbench.errors import BadParameter, InvalidCell

if TYPE_CHECKING:
    from hashbench.boards.evidence_files import Evidence
    from hashbench.running.cell import Cell
    from hashbench.running.runner import Runner
    from hashbench.running.store import Result, Store

OF_DEFENSES = ("defenses", "tuned", "amp")  # options that say nothing of a model that is trained already
SETTING = (*OF_DEFENSES, "seeds", "dataset", "method", "backbone", "bits", "training", "norm", "patch", "eps")


@click.command(epilog="Example: hashbench certify --defense ibp --defense cgat")
@click.argument("what", required=False, metavar="[FILE|ROW]")
@options.options(
    click.option("--defense", "defenses", multiple=True, metavar="NAME", help="A defense. Repeatable."),
    options.subject,
    click.option(
        "--seed", "seeds", type=options.SEED, multiple=True, default=(0,), show_default=True,
        help="Seed of trainings. Repeatable.",
    ),
    options.training,
    options.device,
    options.threads,
    options.store,
    options.out,
    options.plugin,
    options.quiet,
)  # fmt: skip
def certify(
    what: str | None,
    device: str,
    threads: int,
    store: Path,
    out: Path,
    plugins: Sequence[Path],
    seeds: Sequence[int],
    quiet: bool,
    **words: Any,
) -> None:
    """Certify defended models: a lower bound on mAP that holds for every attack.

    FILE is a model trained elsewhere, as of the defense `checkpoint`: *.safetensors, or a state dict; its data set,
    backbone and code length are those of the options. ROW is the config_digest of a row of results.csv whose model
    is in the store. Without either, the defenses of the options are certified, and trained first if they are not in
    the store; the undefended model is always included.

    A certificate bounds each query's AP over all images within the budget, by interval and linear bounds of the
    network's layers. It is checked against every stored attack on the model: an AP below it reveals an error, and
    the command ends with exit code 1. Models whose layers have no bounds, or that draw random numbers, are named and
    skipped.
    """
    from hashbench.api.measure import limited_threads
    from hashbench.boards.tables import check_writable
    from hashbench.boards.terminal import print_lines, shown_progress
    from hashbench.registry import entries
    from hashbench.registry.short_labels import defense_name
    from hashbench.running.runner import Runner, choose_device, make_deterministic

    here = what is not None and Path(what).is_file()
    row = None if what is None or here else _row(what, store)
    _refuse_unused(what, SETTING if row else OF_DEFENSES if here else ())
    for path in plugins:
        entries.load_plugin(path)
    target = choose_device(device)
    check_writable(out)
    kept = options.open_store(store, make=True)
    cells = _cells(what, row, {**words, "seeds": tuple(seeds)})
    make_deterministic(target)
    runner, found = Runner(kept, target), list["Evidence"]()
    for cell in cells:
        with shown_progress(quiet=quiet), limited_threads(threads):
            result, arrays = _certified(cell, runner, untrained=here)
        if result.status == "valid":
            found.append((result, arrays))
        else:
            print_lines([f"{defense_name(cell.defense.label)}, seed {cell.seed}: no certificate: {result.reason}"])
    _report(found, kept, out)


def _row(what: str, store: Path) -> Result:
    """The cell of a row that is named by its config_digest.

    Raises:
        BadParameter: the store has no such cell.
    """
    there = what.isalnum() and (store / "cells").is_dir()
    result = options.open_store(store).cell(what) if there else None
    if result is None:
        raise BadParameter(
            f"{what!r} is neither a file nor the config_digest of a row whose cell is in the store {store}; "
            "look it up in results.csv, or name the store with --store"
        )
    return result


def _refuse_unused(what: str | None, names: Sequence[str]) -> None:
    """Refuse options that say nothing of a file, which has no defense, or of a row, which has it all.

    Raises:
        BadParameter: one is given.
    """
    context = click.get_current_context()
    for option in context.command.params:
        if option.name in names and context.get_parameter_source(option.name) is ParameterSource.COMMANDLINE:
            raise BadParameter(f"{option.opts[0]} says nothing of {what}; leave one of them out")


def _cells(what: str | None, row: Result | None, words: dict[str, Any]) -> list[Cell]:
    """One cell without an attack for each model that is asked for."""
    from hashbench.registry import entries
    from hashbench.registry.spec import Spec
    from hashbench.running.cell import ADAPTIVE, DEFENDED_ROLES, of_roles
    from hashbench.running.request import Request, load_once
    from hashbench.verification.rerun import cell_of

    if what is None:
        return Request(**words).resolve().cells(load_once(options.tell))
    if row is None:
        words = {**words, "defenses": (str(Spec("checkpoint", {"file": what})),)}
        return [
            cell for cell in Request(**words).resolve().cells(load_once(options.tell)) if cell.defense.name != "none"
        ]
    clean = entries.attacks.choose(Spec.parse("none"))
    unattacked = {
        "attack": clean.label, "attack_params": clean.visible, "goal": clean.goal, "access": clean.entry.access,
        "attacker": ADAPTIVE,
        "versions": {**of_roles(row.identity["versions"], DEFENDED_ROLES), **clean.versions("attack")},
    }  # fmt: skip
    return [cell_of({**row.identity, **unattacked}, load_once(options.tell))]


def _certified(cell: Cell, runner: Runner, *, untrained: bool) -> Evidence:
    """A model's certificate with its arrays; the store has it afterwards."""
    from hashbench.registry.short_labels import defense_name
    from hashbench.running.certificates import UNTARGETED, WantedCertificate
    from hashbench.running.victims import DefendedModel

    try:
        model = runner.victims.untrained(cell) if untrained else runner.victims.defended(cell)
    except InvalidCell as failure:
        model = failure
    runner.victims.remember(cell, model)
    wanted = isinstance(model, DefendedModel) and WantedCertificate(cell, UNTARGETED, model.facts["model_digest"])
    result = runner.certify(wanted) if wanted else None
    if result is None:
        raise BadParameter(f"{defense_name(cell.defense.label)} can't be certified: {model}")
    return result, runner.store.certificate_arrays(result)


def _report(found: Sequence[Evidence], store: Store, out: Path) -> None:
    """Print and write certificates, and end with exit code 1 if a stored cell lies beyond one."""
    from hashbench.boards.certificates import certificate_lines, certificate_table
    from hashbench.boards.leaderboard import folder_name
    from hashbench.boards.tables import write_table, writing
    from hashbench.boards.terminal import print_lines
    from hashbench.registry.short_labels import cell_name
    from hashbench.running.certificates import UNTARGETED, certificate_key, held_against

    table = certificate_table(found, store)
    print_lines(certificate_lines(found, table))
    if found:
        folder = out / folder_name(found[0][0].identity)
        with writing(folder):
            write_table(folder / "certificates.csv", table)
        say(f"written to {folder / 'certificates.csv'}")
    keys = {result.key for result, _ in found}
    own = [r for r in store.cells() if r.status == "valid" and certificate_key(r.identity, UNTARGETED) in keys]
    problems = [result for result in held_against(own, store) if result.status != "valid"]
    for result in problems:
        who = f"{cell_name(result.identity['defense'], result.identity['attack'])}, seed {result.identity['seed']}"
        say(f"beyond its certificate: {who}: {result.reason}", err=True)
    if problems:
        click.get_current_context().exit(1)
