"""The command `hashbench verify`."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from hashbench.cli import options
from hashbench.cli.endings import described, say
from hashbench.cli.sections import Whole
from hashbench.errors import BadInput, BadParameter, HashbenchError
from hashbench.readers.text import printable

if TYPE_CHECKING:
    from hashbench.verification.allowed import Allowed
    from hashbench.verification.findings import Findings

TRUSTED = (
    "taken on trust, since only models and data show it: which codes and moves queries had, certificates that no "
    "attack contradicts, the flag stateful, what provenance.csv says, what probes count beside APs, passes of "
    "trainings and the spread of codes; tables that are no leaderboard's are not looked at; --rerun attacks single "
    "queries again"
)


@click.command(epilog="Example: hashbench verify leaderboards --rerun 30 --store runs")
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@options.options(
    click.option(
        "--rerun", "count", type=Whole(1), metavar="N", help="Attack N random queries of each row again."
    ),
    options.store,
    click.option("--seed", type=Whole(0), help="Seed of the draw of these queries.  [default: random]"),
    click.option(
        "--allow-files", is_flag=True,
        help="With --rerun, or where images of others are encoded again, let rows name files of this machine.",
    ),
    click.option(
        "--allow-work", type=Whole(1), default=20, show_default=True, metavar="TIMES",
        help="Likewise, how many times the work of its defaults an attack, a defense or a data set may ask for.",
    ),
    options.device,
    options.as_json,
    options.plugin,
    options.quiet,
)  # fmt: skip
def verify(
    paths: Sequence[Path], count: int | None, store: Path, seed: int | None, allow_files: bool, allow_work: int,
    device: str, as_json: bool, plugins: Sequence[Path], quiet: bool,
) -> None:  # fmt: skip
    """Recompute the numbers of leaderboards from their per-query files, and report differences.

    PATH is a folder of leaderboards, one leaderboard's folder, or a submission: a folder with run.json, queries.npz
    and optionally model.safetensors. Checks digests, format, versions and every number that follows from the
    per-query files and probes, also of boards side by side, and redraws pictures and the page; with --rerun also the
    stored models, and single APs. Exit code 1 if anything is wrong.
    """
    from hashbench.boards.terminal import shown_progress
    from hashbench.registry import entries
    from hashbench.verification.allowed import Allowed
    from hashbench.verification.board import boards_in

    for path in plugins:
        entries.load_plugin(path)
    folders = boards_in(paths)
    _check_options(folders, count, store, device)
    seed = int.from_bytes(os.urandom(4)) if seed is None else seed
    allowed = Allowed(allow_files, allow_work)

    def look(folder: Path) -> Findings:
        found = _verify(folder)
        with shown_progress(quiet=quiet):
            _run_models(folder, found, store, count, seed, device, allowed)
        return found

    looked = []
    for folder in folders:
        found = _in_any_case(look, folder)
        again = f"; {count} queries of each attacked again, drawn with --seed {seed}" if count and found.cells else ""
        looked.append(_verdict(folder, found))
        if not as_json:
            _say(folder, found, f", {len(found.cells)} cells recomputed{again}")
    for place, check in _beside(paths):
        looked.append(_verdict(place, found := _in_any_case(check, place.parent)))
        if not as_json:
            _say(place, found, "")
    verified = all(one["verified"] for one in looked)
    if as_json:
        attacked = {"queries": count, "seed": seed} if count else None
        options.print_document({"verified": verified, "attacked_again": attacked, "places": looked, "note": TRUSTED})
    else:
        click.echo(TRUSTED)
    if not verified:
        click.get_current_context().exit(1)


def _check_options(folders: Sequence[Path], count: int | None, store: Path, device: str) -> None:
    """Refuse options without effect, and a store or a device that is not there, before anything is looked at.

    Raises:
        BadParameter: an option needs --rerun, or the device is not there.
        StoreUnusable: models are to be taken from a store, and there is none.
    """
    context = click.get_current_context()
    given = {name for name in context.params if context.get_parameter_source(name) is ParameterSource.COMMANDLINE}
    if count:
        from hashbench.running.runner import choose_device

        choose_device(device)
        if "store" in given or not any(map(_has_weights, folders)):
            options.open_store(store)
        return
    limits = ["allow_files", "allow_work"] if not any(map(_has_broken_images, folders)) else []
    if odd := [name for name in ("seed", *limits) if name in given]:
        raise BadParameter(
            f"--{odd[0].replace('_', '-')} needs --rerun N, by which queries are attacked again; give both or neither"
        )


def _has_weights(folder: Path) -> bool:
    """Whether rows of a folder can be attacked again without a store."""
    from hashbench.verification.submission import WEIGHTS
    from hashbench.verification.zoo import ZOO

    return (folder / WEIGHTS).exists() or (folder / ZOO).is_dir()


def _has_broken_images(folder: Path) -> bool:
    """Whether a folder holds images that lowered rows, and the weights to encode them again."""
    from hashbench.boards.evidence_files import BROKEN
    from hashbench.verification.zoo import ZOO

    return (folder / BROKEN).is_dir() and (folder / ZOO).is_dir()


def _beside(paths: Sequence[Path]) -> list[tuple[Path, Callable[[Path], Findings]]]:
    """What lies beside the boards of a folder and is made of all of them, with what checks it."""
    from hashbench.boards.across.write import ACROSS
    from hashbench.boards.page import NAME
    from hashbench.verification.pictures import check_page
    from hashbench.verification.side_by_side.across import check_across

    checks: dict[str, Callable[[Path], Findings]] = {ACROSS: check_across, NAME: check_page}
    return [(path / name, check) for path in paths for name, check in checks.items() if (path / name).exists()]


def _verify(folder: Path) -> Findings:
    from hashbench.verification.board import verify_board
    from hashbench.verification.submission import RUN, verify_submission

    return verify_submission(folder) if os.path.lexists(folder / RUN) else verify_board(folder)


def _in_any_case(look: Callable[[Path], Findings], folder: Path) -> Findings:
    """What a check finds; one that can't be carried out is a finding too, so that the next folder is looked at."""
    from hashbench.verification.findings import Findings

    try:
        return look(folder)
    except HashbenchError as error:
        return Findings([str(error)])
    except OSError as error:
        return Findings([described(error)])
    except (RecursionError, MemoryError) as error:  # the last resort: readers refuse what would lead here
        return Findings([f"it takes more memory or depth than there is ({type(error).__name__})"])
    except (ValueError, LookupError, TypeError, ArithmeticError) as error:  # the same
        reason = " ".join(str(error).split())[:200]
        return Findings([f"it holds what no leaderboard has, and can't be checked ({type(error).__name__}: {reason})"])


def _verdict(place: Path, found: Findings) -> dict[str, Any]:
    """What was found in one place, for a JSON document."""
    return {
        "path": place, "verified": not found.problems, "cells": len(found.cells), "problems": found.problems,
        "warnings": found.warnings, "notes": found.notes,
    }  # fmt: skip


def _say(place: Path, found: Findings, more: str) -> None:
    """Print one verdict and what led to it."""
    state = "REFUSED" if found.problems else "verified"
    click.secho(f"{printable(str(place))}: {state}{more}", fg="red" if found.problems else None)
    for line in found.lines():
        click.echo(f"  {line}")


@click.command(epilog="Example: hashbench submit cgat --attack pgd-hamming --store runs --out sent")
@click.argument("defense")
@options.options(
    click.option("--attack", "attacks", multiple=True, metavar="NAME", help="An attack. Repeatable.  [default: all]"),
    options.store,
    click.option(
        "--out", type=click.Path(path_type=Path), default=Path("sent"), show_default=True,
        help="Folder for the submissions, one subfolder per cell.",
    ),
    options.plugin,
)  # fmt: skip
def submit(defense: str, attacks: Sequence[str], store: Path, out: Path, plugins: Sequence[Path]) -> None:
    """Pack a defense's stored cells and models into folders that others can verify.

    DEFENSE is a defense with valid cells in the store. All its cells are packed: every attack, seed and data set.
    """
    from hashbench.boards import leaderboard
    from hashbench.boards.pairing import label_of
    from hashbench.registry import entries
    from hashbench.verification.submission import pack

    kept = options.open_store(store)
    for path in plugins:
        entries.load_plugin(path)
    results = [r for board in leaderboard.leaderboards(kept.cells()) for r in board.results if r.status == "valid"]
    label = label_of(entries.defenses, defense, {r.identity["defense"] for r in results})
    labels = {label_of(entries.attacks, attack, {r.identity["attack"] for r in results}) for attack in attacks}
    found = [
        r
        for r in results
        if r.identity["defense"] == label and r.identity["attack"] in (labels or {r.identity["attack"]})
    ]
    if not found:
        raise BadInput(f"the store has no valid cells of {label} under these attacks; make some with 'hashbench run'")
    for result in found:
        pack(kept, result.key, out / result.key)
        say(f"written to {out / result.key}")


def _run_models(
    folder: Path, found: Findings, store: Path, count: int | None, seed: int, device: str, allowed: Allowed
) -> None:
    """Encode the images of broken rows again where weights are beside the tables, and attack `count` queries again.

    The folder's own weights are used if it has any, else those of the store.
    """
    import tempfile

    from hashbench.running.runner import choose_device, make_deterministic
    from hashbench.running.store import Store
    from hashbench.verification.broken_images import encode_again
    from hashbench.verification.rerun import rerun
    from hashbench.verification.submission import WEIGHTS
    from hashbench.verification.zoo import ZOO, fill_store

    broken, zoo = _has_broken_images(folder), (folder / ZOO).is_dir()
    if not count and not broken:
        return
    chosen = choose_device(device)
    make_deterministic(chosen)
    with tempfile.TemporaryDirectory() as place:
        own = folder / WEIGHTS if (folder / WEIGHTS).exists() else None
        kept = Store(Path(place)) if own or zoo else options.open_store(store)
        if zoo and not own:
            there = count and (store / "cells").is_dir()
            identities = [result.identity for result, _ in found.cells]
            fill_store(folder, identities, kept, options.open_store(store) if there else None)
        if broken:
            encode_again(folder, found, kept, chosen, allowed)
        if count:
            found.problems += rerun(found.cells, kept, count, seed, chosen, own, allowed)
