"""What a request would do: what is missing, its rows and columns, and about how many passes and hours it takes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from hashbench.datasets.list_files import ORIGINS
from hashbench.errors import MissingData, UsageError
from hashbench.models.model import HashModel
from hashbench.models.pass_cost import PassCost, PassForecast, StepForecast, measure_pass
from hashbench.registry import entries
from hashbench.registry.entries import Choice, Registry
from hashbench.registry.parameters import Value
from hashbench.registry.protocols import Attack, Dataset
from hashbench.registry.spec import Spec
from hashbench.registry.threats import check_threat
from hashbench.running.cell import attackers, column_name
from hashbench.running.request import Load, Request, load_once, read_eps
from hashbench.threat import Threat, default_eps, format_eps, format_threat

CHANNELS, SIZE = 3, 224  # of images that are not there, unless the data set's parameters give a size
GIGABYTE = 1e9
HOUR, MINUTE = 3600, 60


@dataclass(frozen=True)
class Sizes:
    """How many images a data set has in each role, their shape, its budget, and what is wrong if it can't be loaded."""

    train: int
    queries: int
    database: int
    eps: float | None
    channels: int = CHANNELS
    size: int = SIZE
    problem: str = ""


@dataclass
class Plan:
    """What is known of one request.

    `wrong` holds what can't run, by the text that asks for it; `missing` what has to be got first; `steps` one step
    of each training.
    """

    request: Request
    sizes: Sizes
    rows: dict[str, str] = field(default_factory=dict)
    columns: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    wrong: dict[str, str] = field(default_factory=dict)
    cells: int = 0
    idle: int = 0
    passes: PassForecast = field(default_factory=PassForecast)
    steps: list[StepForecast] = field(default_factory=list)

    @property
    def subject(self) -> str:
        """Data set, network, method and code length."""
        request = self.request
        return f"{request.dataset}, {request.backbone}, {request.method}, {request.bits} bits"


def forecast(requests: Sequence[Request], device: torch.device | None = None) -> Iterator[str]:
    """Describe what requests would do, line by line; nothing is trained, downloaded or written.

    What is missing, and what can't run, stands first, each once. Passes are counted by `epochs`, `steps` and
    `restarts`; what has none of these counts as one pass per image. Hours and memory come from passes of a few random
    images through each network, on the given device (the CPU by default): trainings' own steps, probes and intervals
    come on top.
    """
    device = device or torch.device("cpu")
    load = load_once()
    plans = [_plan(request, load) for request in requests]
    yield from _listed("missing", [line for plan in plans for line in plan.missing])
    yield from _listed("can't run", [f"{text}: {why}" for plan in plans for text, why in plan.wrong.items()])
    costs: dict[str, PassCost | None] = {}
    before, seconds, memory = None, 0.0, 0.0
    for number, plan in enumerate(plans, 1):
        yield f"run {number} of {len(plans)}: {plan.subject}; {_facts(plan)}"
        matrix = [f"  rows {', '.join(plan.rows.values())}", f"  columns {', '.join(plan.columns.values())}"]
        if matrix != before:
            yield from matrix
        before = matrix
        cost = _cost(plan, device, costs)
        took = plan.passes.seconds(cost) if cost else math.nan
        yield f"  {plan.cells} cells, {plan.passes.all:,} passes{f', about {_duration(took)}' if cost else ''}"
        seconds, memory = seconds + took, max(memory, cost.memory(plan.steps) if cost else 0.0)
    cells, idle, passes = (
        sum(values) for values in zip(*((p.cells, p.idle, p.passes.all) for p in plans), strict=True)
    )
    yield f"{len(plans)} runs, {cells} cells ({idle} of them can't run), about {passes:,} passes; nothing was trained"
    if math.isfinite(seconds) and seconds:
        yield (
            f"about {_duration(seconds)} and {memory / GIGABYTE:.2g} GB beside the data on one {device.type}, from "
            "passes measured now; trainings' own steps, probes and intervals come on top"
        )


def _plan(request: Request, load: Load) -> Plan:
    sizes = _sizes(request.dataset, load)
    plan = Plan(request, sizes, missing=[sizes.problem] if sizes.problem else [])
    for registered, text in ((entries.methods, request.method), (entries.backbones, request.backbone)):
        choice, problem = _choose(registered, text)
        lacking = _lacking(registered, text)
        plan.wrong |= {text: problem} if problem and not lacking else {}
        plan.missing += [lacking] if lacking else []
    seeds = len(request.seeds)
    training = request.choose_training().visible
    plan.passes += PassForecast(0, _times(training, "epochs") * sizes.train) * seeds
    plan.steps.append(_step(training))
    for column in ("none", *request.attacks):
        choice, _ = _choose(entries.attacks, column)
        plan.columns[column] = choice.label if choice else column
        problem = _unfit(request.choose_attack, column, request.bound)
        plan.wrong |= {column: problem} if problem else {}
    for row in ("none", *request.defenses):
        label, parameters, problem = _defense(request, row)
        plan.rows[row] = label
        plan.steps += [_step(parameters, defended=True)] if "batch_size" in parameters else []
        problem = problem or _unfit(request.choose_defense, row, request.norm)
        plan.wrong |= {row: problem} if problem else {}
        plan.passes += (PassForecast(0, _defense_passes(parameters, sizes)) + PassForecast(sizes.database, 0)) * seeds
        for column in ("none", *request.attacks):
            attack, _ = _choose(entries.attacks, column)
            names = _columns(row, column)
            plan.columns |= {name: name for name in names if "(" in name}
            plan.passes += _attack_passes(attack, sizes) * len(names) * seeds
            plan.cells += len(names) * seeds
            plan.idle += len(names) * seeds * (row in plan.wrong or column in plan.wrong)
    return plan


def _listed(title: str, lines: Sequence[str]) -> Iterator[str]:
    if lines:
        yield f"{title}:"
        yield from (f"  {line}" for line in dict.fromkeys(lines))


def _facts(plan: Plan) -> str:
    request, sizes = plan.request, plan.sizes
    own = default_eps(request.bound, math.nan if sizes.eps is None else sizes.eps, sizes.channels * sizes.size**2)
    eps = own if request.eps is None else read_eps(request.eps, request.norm)
    known = ("train", sizes.train), ("queries", sizes.queries), ("database", sizes.database)
    data = ", ".join(f"{count:,} {role}" if count else f"{role} unknown" for role, count in known)
    if math.isnan(eps):
        budget = "the data set's eps"
    else:
        budget = f"eps {format_eps(eps)}" if request.bound == "linf" else format_threat(request.bound, eps)
    return f"{budget}; seeds {', '.join(map(str, request.seeds))}; {data}"


def _cost(plan: Plan, device: torch.device, known: dict[str, PassCost | None]) -> PassCost | None:
    """What a pass through a request's network costs; None where the network can't be made."""
    sizes = plan.sizes
    key = f"{plan.request.backbone} {sizes.channels} {sizes.size}"
    if key not in known:
        choice, problem = _choose(entries.backbones, plan.request.backbone)
        known[key] = None
        if choice and not problem:
            bare = (
                replace(choice, params={**choice.params, "weights": "none"}) if "weights" in choice.params else choice
            )
            try:
                network = bare.call(plan.request.bits, sizes.channels, sizes.size)
            except UsageError:
                return None
            known[key] = measure_pass(HashModel(network, plan.request.bits), sizes.channels, sizes.size, device)
    return known[key]


def _duration(seconds: float) -> str:
    if seconds >= HOUR:
        return f"{seconds / HOUR:,.1f} hours"
    return f"{seconds / MINUTE:.0f} minutes" if seconds >= MINUTE else f"{max(1, round(seconds))} seconds"


def _lacking(registered: Registry[Any], text: str) -> str:
    """What has to be got before a choice can be used; empty if nothing, or if it is wrong altogether."""
    choice = None
    try:
        choice = registered.choose(Spec.parse(text))
        return choice.needs
    except UsageError as error:
        return str(error) if choice or isinstance(error, MissingData) else ""


def _sizes(dataset: str, load: Load) -> Sizes:
    choice, problem = _choose(entries.datasets, dataset)
    if choice is None:
        return Sizes(0, 0, 0, None, problem=problem)
    try:
        split = load(choice)
    except MissingData as error:
        return _published(choice, str(error))
    counts = len(split.train), len(split.queries), len(split.database)
    return Sizes(*counts, split.eps, split.channels, split.size)


def _published(choice: Choice[Dataset], problem: str) -> Sizes:
    given = {name: value for name, value in choice.params.items() if isinstance(value, int)}
    own = {"train": given.get("train", 0), "test": given.get("queries", 0), "database": given.get("database", 0)}
    sizes = ORIGINS[choice.name].sizes if choice.name in ORIGINS else own
    eps = choice.params.get("eps")
    train, queries, database = (sizes.get(role, 0) for role in own)
    side = given.get("size", SIZE)
    return Sizes(train, queries, database, eps if isinstance(eps, float) else None, CHANNELS, side, problem)


def _defense(request: Request, text: str) -> tuple[str, Mapping[str, Value], str]:
    """A defense's label, its parameters, and why it can't run."""
    try:
        chosen = request.choose_defense(text)
        return chosen.label, chosen.visible, ""
    except UsageError as error:
        return text, {}, str(error)


def _choose(registered: Registry[Any], text: str) -> tuple[Choice[Any] | None, str]:
    try:
        return registered.choose(Spec.parse(text)), ""
    except UsageError as error:
        return None, str(error)


def _unfit(choose: Callable[[str], Choice[Any]], text: str, bound: str) -> str:
    """Why an attack or a defense can't run, or not under a norm or a patch; empty if it can."""
    try:
        check_threat(choose(text), Threat(0.0, bound))
    except UsageError as error:
        return str(error)
    return ""


def _columns(row: str, column: str) -> list[str]:
    """The columns that an attack fills in a defense's row."""
    (defense, _), (attack, _) = _choose(entries.defenses, row), _choose(entries.attacks, column)
    if defense is None or attack is None:
        return [_title(column)]
    return [column_name(_title(column), attacker) for attacker in attackers(defense, attack)]


def _defense_passes(parameters: Mapping[str, Value], sizes: Sizes) -> int:
    inner = _times(parameters, "steps")
    return _times(parameters, "epochs") * sizes.train * (inner + 2 if inner else 1)


def _step(parameters: Mapping[str, Value], *, defended: bool = False) -> StepForecast:
    """What a training's step holds: an adversarial one the model that it began with, and crafted images too."""
    size = _times(parameters, "batch_size")
    further = sum(bool(parameters.get(name)) for name in ("ema", "awp"))  # an average of the weights; moved weights
    plain = parameters.get("optimiser") == "sgd"
    moments, temporaries = (1, 1) if plain else (2, 2)
    return StepForecast(size * (1 + defended), 2 + moments + defended + further, temporaries)


def _attack_passes(attack: Choice[Attack] | None, sizes: Sizes) -> PassForecast:
    """The passes of an attack, with those of the attacks that it runs by itself, at their defaults."""
    if attack is None:
        return PassForecast(sizes.queries, 0)
    steps = _times(attack.visible, "steps", "restarts") * sizes.queries
    white = attack.entry.access in ("white", "transfer")
    found = PassForecast(0, steps) if white else PassForecast(steps, 0)
    found += PassForecast(sizes.queries, _times(attack.visible, "epochs") * sizes.train)
    for kind, name in attack.entry.uses:
        found += _attack_passes(entries.attacks.choose(Spec(name)), sizes) if kind == "attack" else PassForecast()
    return found


def _times(parameters: Mapping[str, Value], *names: str) -> int:
    """The product of those of the named parameters that are integers; 0 if there are none."""
    found = [value for name in names if isinstance(value := parameters.get(name), int)]
    product = 1
    for value in found:
        product *= value
    return product if found else 0


def _title(text: str) -> str:
    return text.partition(":")[0]
