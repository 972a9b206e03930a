"""The command `hashbench check`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hashbench.cli import options

if TYPE_CHECKING:
    from hashbench.conformance.rules import RuleLine
    from hashbench.registry.spec import Spec


@click.command(epilog="Example: hashbench check pgd-hamming")
@click.argument("target", metavar="FILE_OR_NAME")
@options.as_json
@options.plugin
def check(target: str, as_json: bool, plugins: tuple[Path, ...]) -> None:
    """Check whether an attack or a defense follows the rules; each failure comes with a fix.

    FILE_OR_NAME is a Python file, whose attacks and defenses are all checked, or a name, optionally with
    parameters (cgat:steps=5). The check uses a few hundred digits and a small network, with two epochs
    or the preset `quick` unless parameters say otherwise. Exit code 0: every line passes; 1: a line
    fails; 2: there is nothing to check.
    """
    from hashbench.registry import entries

    for path in plugins:
        entries.load_plugin(path)
    checked = []
    for kind, spec in _chosen(target):
        if not as_json:
            click.secho(f"{kind} {spec.name}", bold=True)
        lines = _lines(kind, spec)
        for line in [] if as_json else lines:
            click.secho(f"  {line}", fg="red" if line.passed is False else None)
        passed = not any(line.passed is False for line in lines)
        checked.append({"kind": kind, "name": spec.name, "passed": passed, "rules": [vars(line) for line in lines]})
    passed = all(one["passed"] for one in checked)
    if as_json:
        options.print_document({"passed": passed, "checked": checked})
    if not passed:
        click.get_current_context().exit(1)


def _chosen(target: str) -> list[tuple[str, Spec]]:
    """The attacks and defenses that a file registers, or that have a name.

    Raises:
        UsageError: there are none.
    """
    from hashbench.errors import PluginError, UnknownName
    from hashbench.registry import entries
    from hashbench.registry.parameters import suggestion
    from hashbench.registry.spec import Spec

    if target.endswith(".py"):
        before = set(_names())
        entries.load_plugin(Path(target))
        found = [(kind, Spec(name)) for kind, name in _names() if (kind, name) not in before]
        if not found:
            raise PluginError(f"{target} registers no attack or defense; use @attack(...) or @defense(...)")
        return found
    spec = Spec.parse(target)
    found = [(kind, spec) for kind, name in _names() if name == spec.name]
    if not found:
        hint = suggestion(spec.name, {name for _, name in _names()})
        raise UnknownName(f"no attack or defense is named {spec.name!r}{hint}")
    return found


def _names() -> Iterator[tuple[str, str]]:
    from hashbench.registry import entries

    groups: tuple[entries.Registry[Any], ...] = (entries.defenses, entries.attacks)
    for group in groups:
        yield from ((group.kind, entry.name) for entry in group)


def _lines(kind: str, spec: Spec) -> list[RuleLine]:
    from hashbench.conformance.attacks import check_attack
    from hashbench.conformance.defenses import check_defense
    from hashbench.conformance.rules import choose
    from hashbench.registry import entries

    if kind == "defense":
        return check_defense(choose(entries.defenses, spec))
    return check_attack(choose(entries.attacks, spec))
