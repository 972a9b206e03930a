"""The command `hashbench list`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hashbench.cli import options
from hashbench.cli.sections import NameAmong

if TYPE_CHECKING:
    from hashbench.registry.entry import Entry
    from hashbench.running.suite import Suite

KINDS = ("attacks", "defenses", "methods", "backbones", "datasets")
SUITES, CORRUPTIONS = "suites", "corruptions"
ALL = (*KINDS, SUITES, CORRUPTIONS)


@click.command("list", epilog="Example: hashbench list attacks")
@click.argument("kind", required=False, metavar=f"[{'|'.join(ALL)}]", type=NameAmong("list", ALL))
@options.as_json
@options.plugin
def list_(kind: str | None, as_json: bool, plugins: Sequence[Path]) -> None:
    """List what is registered, with parameters and papers, the suites, and the corruptions.

    Suites are the named sets of runs for `hashbench run --suite`; corruptions are those of `hashbench corruptions`.
    """
    from hashbench.registry.torch_free import registries

    with registries(whole=bool(plugins)) as registry:
        for path in plugins:
            registry.load_plugin(path)
        wanted = [name for name in KINDS if kind in (None, name)]
        found = {name: list(getattr(registry, name)) for name in wanted}
        if as_json:
            listed: dict[str, Any] = {name: [_entry_document(name, e) for e in found[name]] for name in wanted}
        else:
            for name in wanted:
                click.secho(name, bold=True)
                for entry in found[name]:
                    click.echo(_describe(name, entry))
        suites = _suites() if kind in (None, SUITES) else []
    if as_json:
        listed |= {SUITES: [_suite_document(suite) for suite in suites]} if kind in (None, SUITES) else {}
        listed |= {CORRUPTIONS: _corruption_documents()} if kind in (None, CORRUPTIONS) else {}
        options.print_document(listed)
        return
    lines = {SUITES: list(map(_describe_suite, suites)), CORRUPTIONS: _describe_corruptions()}
    for name, described in lines.items():
        if kind in (None, name):
            click.secho(name, bold=True)
            click.echo("\n".join(described))


def _entry_document(kind: str, entry: Entry[Any]) -> dict[str, Any]:
    """An entry for a JSON document."""
    from hashbench.registry.parameters import parameters

    facts: dict[str, Any] = {
        "name": entry.name, "summary": entry.summary, "paper": entry.paper, "version": entry.version,
        "presets": {name: dict(values) for name, values in entry.presets.items()},
        "parameters": [
            {"name": p.name, "type": p.kind.__name__, "default": p.default, "values": p.range}
            for p in parameters(entry.function)
        ],
    }  # fmt: skip
    facts |= {"goal": entry.goal, "access": entry.access} if kind == "attacks" else {}
    facts |= {"threats": list(entry.threats)} if kind in ("attacks", "defenses") else {}
    return facts | ({"trains": entry.trains, "transforms": entry.transforms} if kind == "defenses" else {})


def _describe(kind: str, entry: Entry[Any]) -> str:
    from hashbench.registry.parameters import format_value, parameters

    facts = []
    if kind == "attacks":
        facts += [f"goal: {entry.goal}", f"access: {entry.access}", f"threats: {', '.join(entry.threats)}"]
    if kind == "defenses":
        facts += [
            f"{name}: {'yes' if value else 'no'}"
            for name, value in (("trains", entry.trains), ("transforms", entry.transforms))
        ]
        facts += [f"threats: {', '.join(entry.threats)}"]
    facts += [f"version: {entry.version}"] if entry.version > 1 else []
    facts += [f"paper: {entry.paper}"] if entry.paper else []
    lines = [f"  {entry.name:<16} {entry.summary}"]
    lines += [f"{'':19}{'; '.join(facts)}"] if facts else []
    lines += [f"{'':19}{p}{f'  ({p.range})' if p.range else ''}" for p in parameters(entry.function)]
    for name, values in entry.presets.items():
        lines.append(f"{'':19}preset={name}: {','.join(f'{n}={format_value(value)}' for n, value in values.items())}")
    return "\n".join(lines)


def _suites() -> list[Suite]:
    from hashbench.running.suite import names, read_suite

    return [read_suite(name) for name in names()]


def _suite_document(suite: Suite) -> dict[str, Any]:
    """A suite for a JSON document."""
    return {
        "name": suite.name, "title": suite.title, "paper": suite.paper,
        "runs": [vars(request) for request in suite.requests],
    }  # fmt: skip


def _corruption_documents() -> list[dict[str, Any]]:
    from hashbench.evaluation.corruption_levels import LEVELS, PAPER

    return [{"name": name, "paper": PAPER, **vars(one)} for name, one in LEVELS.items()]


def _describe_corruptions() -> list[str]:
    from hashbench.evaluation.corruption_levels import LEVELS, PAPER

    return [
        f"  {name:<16} {one.summary}\n{'':19}paper: {PAPER}\n"
        f"{'':19}strengths 1 to 5: {', '.join(f'{level:g}' for level in one.levels)}  ({one.unit})"
        for name, one in LEVELS.items()
    ]


def _describe_suite(suite: Suite) -> str:
    requests = suite.requests
    facts = {
        "data sets": [r.dataset for r in requests],
        "networks": [r.backbone for r in requests],
        "methods": [r.method for r in requests],
        "bits": [str(r.bits) for r in requests],
        "defenses": [name for r in requests for name in r.defenses],
        "attacks": [name for r in requests for name in r.attacks],
    }
    lines = [f"  {suite.name:<16} {suite.title}"]
    lines += [f"{'':19}paper: {suite.paper}"] if suite.paper else []
    lines += [f"{'':19}{name}: {', '.join(dict.fromkeys(values)) or 'none'}" for name, values in facts.items()]
    return "\n".join(lines)
