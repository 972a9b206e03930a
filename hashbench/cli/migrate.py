"""The commands `hashbench migrate` and `hashbench restore`, which carry results over into a store."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from hashbench.cli import options
from hashbench.cli.endings import say
from hashbench.errors import BadInput
from hashbench.readers.text import printable


@click.command(epilog="Example: hashbench migrate runs leaderboards")
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
def migrate(paths: Sequence[Path]) -> None:
    """Upgrade stores and leaderboards of hashbench 0.1, whose keys were digests of code, to keys made of versions.

    PATH is a store, one leaderboard's folder, or a folder of leaderboards. No number changes, and nothing is
    trained or attacked. Commands that open a store upgrade it automatically.
    """
    from hashbench.verification.migrate import migrate_board

    for path in paths:
        if (path / "cells").is_dir():
            options.open_store(path)
            say(f"{path}: all keys are made of versions")
            continue
        folders = sorted(file.parent for file in path.rglob("results.csv"))
        if not folders:
            raise BadInput(f"{path} is not a store and holds no results.csv; name a store or a folder of leaderboards")
        for folder in folders:
            say(f"{folder}: {migrate_board(folder)} rows carried over")


@click.command(epilog="Example: hashbench restore leaderboards --store runs")
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@options.store
def restore(paths: Sequence[Path], store: Path) -> None:
    """Put leaderboards back into a store, so that a run goes on from them: nothing in them is computed again.

    PATH is one leaderboard's folder, or a folder of leaderboards. Every number is checked first, as by `hashbench
    verify`. Cells, probes, certificates and the models of the folder zoo get the keys that they had. So
    `hashbench run` with the same options and another defense adds its rows to a published leaderboard.
    """
    from hashbench.api.restore import restore_board
    from hashbench.readers.folders import folders_with

    into = options.open_store(store, make=True)
    for path in paths:
        folders = folders_with(path, ("results.csv",))
        if not folders:
            raise BadInput(f"{path} holds no results.csv; name a leaderboard's folder or a folder of leaderboards")
        for folder in folders:
            found = restore_board(folder, into)
            say(
                f"{folder}: {found.cells} cells, {found.probes} probes, {found.certificates} certificates and "
                f"{found.models} models restored"
            )
            for line in found.left_out:
                say(f"  left out: {printable(line)}")
