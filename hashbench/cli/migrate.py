"""The command `hashbench migrate`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from hashbench.cli import options
from hashbench.cli.endings import say
from hashbench.errors import BadInput


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
