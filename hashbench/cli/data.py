"""The command `hashbench data`."""

from __future__ import annotations

from pathlib import Path

import click

from hashbench.cli import options
from hashbench.cli.endings import say
from hashbench.errors import BadParameter


@click.command(epilog="Example: hashbench data digits")
@click.argument("name")
@click.option("--root", type=click.Path(path_type=Path), metavar="DIR", help="Folder of the data set.")
@options.as_json
@options.plugin
def data(name: str, root: Path | None, as_json: bool, plugins: tuple[Path, ...]) -> None:
    """Describe a data set, and what is missing from it.

    NAME is a data set, optionally with parameters (lists:size=64). Prints the number of images,
    duplicates, label statistics and unlabeled images of each role, the overlaps between roles, the
    chance level, the digest of the split, and where to get anything that is missing. Try
    `hashbench data flickr25k --root DIR`.
    """
    from hashbench.conformance.data_sets import inspect_lists, inspect_split
    from hashbench.datasets.list_files import ORIGINS
    from hashbench.evaluation.foreign_code import load_split
    from hashbench.registry import entries
    from hashbench.registry.spec import Spec

    for path in plugins:
        entries.load_plugin(path)
    spec = Spec.parse(name)
    if root is not None and "root" in spec.params:
        raise BadParameter(
            f"two folders are given: root={spec.params['root']} and --root {root}; leave one of them out"
        )
    given = {"root": str(root)} if root else {}
    choice = entries.datasets.choose(Spec(spec.name, {**spec.params, **given}))
    if choice.name in ORIGINS:
        lines = inspect_lists(choice.name, **choice.params)  # type: ignore[arg-type]
    else:
        lines = inspect_split(choice.name, load_split(choice))
    if as_json:
        options.print_document({"dataset": choice.name, "facts": [line.document for line in lines]})
        return
    for line in lines:
        say(line.text)
