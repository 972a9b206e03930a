"""What a request would do: its cells and parameters, what is missing, and roughly how many passes it takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hashbench.datasets.list_files import ORIGINS
from hashbench.errors import MissingData, UsageError
from hashbench.registry import entries
from hashbench.registry.entries import Choice, Registry
from hashbench.registry.parameters import Value, format_value
from hashbench.registry.protocols import Dataset
from hashbench.registry.spec import Spec
from hashbench.running.cell import attackers, column_name
from hashbench.running.request import Load, Request, load_once, read_eps
from hashbench.threat import format_eps


@dataclass(frozen=True)
class Sizes:
    """How many images a data set has in each role, its budget, and what is wrong if it can't be loaded."""

    train: int
    queries: int
    database: int
    eps: float | None
    problem: str = ""


def forecast(requests: Sequence[Request]) -> Iterator[str]:
    """Describe what requests would do, line by line; nothing is trained, downloaded or written.

    A pass is one image going through the network once, with or without a gradient. Training is counted
    by `epochs` and inner `steps`; attacks by `steps` and `restarts`, and by `epochs` if they train first.
    Anything without such parameters counts as one pass per image, so the sum is an estimate.
    """
    load, total, cells, idle = load_once(), 0, 0, 0
    for number, request in enumerate(requests, 1):
        yield f"run {number} of {len(requests)}: {_subject(request)}"
        sizes = _sizes(request.dataset, load)
        yield from _facts(request, sizes)
        training = request.choose_training().visible
        clean_passes = _times(training, "epochs") * sizes.train
        yield f"  clean training {_written(training)}; {clean_passes:,} passes per seed"
        rows = [(row, *_defense_parameters(request, row)) for row in ("none", *request.defenses)]
        columns = ("none", *request.attacks)
        for seed in request.seeds:
            total += clean_passes
            for row, defense, wrong in rows:
                passes = _defense_passes(defense, sizes) + sizes.database
                yield f"  row {_title(row)} {_written(defense)}{wrong}; seed {seed}; {passes:,} passes"
                total += passes
                for column in columns:
                    choice, unknown = _choose(entries.attacks, column)
                    attack = choice.visible if choice else {}
                    passes = max(1, _times(attack, "steps", "restarts")) * sizes.queries
                    passes += _times(attack, "epochs") * sizes.train
                    for name in _columns(row, column):
                        yield f"    cell {_title(row)} under {name} {_written(attack)}{unknown}; {passes:,} passes"
                        total, cells, idle = total + passes, cells + 1, idle + bool(wrong or unknown)
    yield f"{len(requests)} runs, {cells} cells ({idle} of them can't run), about {total:,} passes; nothing was trained"


def _subject(request: Request) -> str:
    return f"{request.dataset}, {request.backbone}, {request.method}, {request.bits} bits"


def _facts(request: Request, sizes: Sizes) -> Iterator[str]:
    eps = sizes.eps if request.eps is None else read_eps(request.eps)
    yield f"  linf eps {'the data set' if eps is None else format_eps(eps)}, seeds {', '.join(map(str, request.seeds))}"
    known = ("train", sizes.train), ("queries", sizes.queries), ("database", sizes.database)
    yield f"  data {', '.join(f'{count:,} {role}' if count else f'{role} unknown' for role, count in known)}"
    if sizes.problem:
        yield f"  missing: {sizes.problem}"
    for kind, registered, text in (
        ("method", entries.methods, request.method),
        ("backbone", entries.backbones, request.backbone),
    ):
        choice, problem = _choose(registered, text)
        yield f"  {kind} {text.partition(':')[0]} {_written(choice.visible if choice else {})}{problem}"
        if lacking := _lacking(choice):
            yield f"  missing: {lacking}"


def _lacking(choice: Choice[Any] | None) -> str:
    try:
        return choice.needs if choice else ""
    except UsageError as error:
        return str(error)


def _sizes(dataset: str, load: Load) -> Sizes:
    choice, problem = _choose(entries.datasets, dataset)
    if choice is None:
        return Sizes(0, 0, 0, None, problem)
    try:
        split = load(choice)
    except MissingData as error:
        return _published(choice, str(error))
    return Sizes(len(split.train), len(split.queries), len(split.database), split.eps)


def _published(choice: Choice[Dataset], problem: str) -> Sizes:
    sizes = ORIGINS[choice.name].sizes if choice.name in ORIGINS else {}
    eps = choice.params.get("eps")
    train, queries, database = (sizes.get(role, 0) for role in ("train", "test", "database"))
    return Sizes(train, queries, database, eps if isinstance(eps, float) else None, problem)


def _defense_parameters(request: Request, text: str) -> tuple[Mapping[str, Value], str]:
    try:
        return request.choose_defense(text).visible, ""
    except UsageError as error:
        return {}, _refused(error)


def _choose(registered: Registry[Any], text: str) -> tuple[Choice[Any] | None, str]:
    try:
        return registered.choose(Spec.parse(text)), ""
    except UsageError as error:
        return None, _refused(error)


def _refused(error: UsageError) -> str:
    return f" [can't run: {error}]"


def _columns(row: str, column: str) -> list[str]:
    """The columns that an attack fills in a defense's row."""
    (defense, _), (attack, _) = _choose(entries.defenses, row), _choose(entries.attacks, column)
    if defense is None or attack is None:
        return [_title(column)]
    return [column_name(_title(column), attacker) for attacker in attackers(defense, attack)]


def _defense_passes(parameters: Mapping[str, Value], sizes: Sizes) -> int:
    inner = _times(parameters, "steps")
    return _times(parameters, "epochs") * sizes.train * (inner + 2 if inner else 1)


def _times(parameters: Mapping[str, Value], *names: str) -> int:
    """The product of those of the named parameters that are integers; 0 if there are none."""
    found = [value for name in names if isinstance(value := parameters.get(name), int)]
    product = 1
    for value in found:
        product *= value
    return product if found else 0


def _title(text: str) -> str:
    return text.partition(":")[0]


def _written(parameters: Mapping[str, Value]) -> str:
    return "(" + ", ".join(f"{name}={format_value(value)}" for name, value in parameters.items()) + ")"
