"""What is known of a request before it runs: its rows and columns, its passes, what is missing and what is stored."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from typing import Any

from hashbench.datasets.list_files import ORIGINS
from hashbench.errors import HashbenchError, MissingData, UsageError
from hashbench.models.pass_cost import PassForecast, StepForecast
from hashbench.registry import entries
from hashbench.registry.entries import Choice, Registry
from hashbench.registry.parameters import Value
from hashbench.registry.protocols import Dataset
from hashbench.registry.spec import Spec
from hashbench.registry.threats import check_threat
from hashbench.running.cell import Cell, attackers, column_name
from hashbench.running.forecast.passes import attack_passes, clean_passes, defense_passes, training_step
from hashbench.running.request import Load, Request
from hashbench.running.store import Store
from hashbench.running.tuning import with_queries
from hashbench.threat import Threat

CHANNELS, SIZE = 3, 224  # of images that are not there, unless the data set's parameters give a size


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
    of each training; `stored` how many cells need nothing more, so that their passes are not among `passes`;
    `taken` how many models come from a zoo.
    """

    request: Request
    sizes: Sizes
    rows: dict[str, str] = field(default_factory=dict)
    columns: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    wrong: dict[str, str] = field(default_factory=dict)
    cells: int = 0
    idle: int = 0
    stored: int = 0
    taken: int = 0
    passes: PassForecast = field(default_factory=PassForecast)
    steps: list[StepForecast] = field(default_factory=list)

    @property
    def subject(self) -> str:
        """Data set, network, method and code length."""
        request = self.request
        return f"{request.dataset}, {request.backbone}, {request.method}, {request.bits} bits"


def plan_of(request: Request, load: Load, store: Store | None = None, models: Container[str] = frozenset()) -> Plan:
    """Look at a request; what the store has is not made again, and models of some keys are not trained."""
    sizes = _sizes(request, load)
    plan = Plan(request, sizes, missing=[sizes.problem] if sizes.problem else [])
    registries: tuple[Registry[Any], ...] = entries.datasets, entries.methods, entries.backbones
    for registered, text in zip(registries, (request.dataset, request.method, request.backbone), strict=True):
        choice, problem = choose(registered, text)
        lacking = _lacking(registered, text)
        plan.wrong |= {text: problem} if problem and not lacking else {}
        plan.missing += [lacking] if lacking else []
    seeds = len(request.seeds)
    training = request.choose_training().visible
    plan.passes += clean_passes(training, sizes.train) * seeds
    plan.steps.append(training_step(training))
    for column in ("none", *request.attacks):
        choice, _ = choose(entries.attacks, column)
        plan.columns[column] = choice.label if choice else column
        problem = _unfit(request.choose_attack, column, request.bound)
        plan.wrong |= {column: problem} if problem else {}
    for row in ("none", *request.defenses):
        label, parameters, problem = _defense(request, row)
        plan.rows[row] = label
        plan.steps += [training_step(parameters, defended=True)] if "batch_size" in parameters else []
        problem = problem or _unfit(request.choose_defense, row, request.norm)
        plan.wrong |= {row: problem} if problem else {}
        plan.passes += (defense_passes(parameters, sizes.train) + PassForecast(sizes.database, 0)) * seeds
        for column in ("none", *request.attacks):
            attack, _ = choose(entries.attacks, column)
            names = _columns(row, column)
            plan.columns |= {name: name for name in names if "(" in name}
            plan.passes += attack_passes(attack, sizes.queries, sizes.train) * len(names) * seeds
            plan.cells += len(names) * seeds
            plan.idle += len(names) * seeds * (row in plan.wrong or column in plan.wrong)
    if not plan.missing and not plan.wrong:
        try:
            cells = request.resolve().cells(load)
        except HashbenchError as error:
            plan.wrong[plan.subject] = str(error)
        else:
            _leave_out(plan, cells, store, models)
    if plan.wrong.keys() - plan.rows.keys() - plan.columns.keys():
        plan.idle = plan.cells
    return plan


def _leave_out(plan: Plan, cells: list[Cell], store: Store | None, models: Container[str]) -> None:
    """Take the passes of stored cells from a plan, and those of models that are there or that no other cell needs."""
    sizes = plan.sizes
    lacking = [cell for cell in cells if store is None or store.cell(cell.key) is None]
    wanted = {key for cell in lacking for key in (cell.clean_key, cell.defended_key)}
    stored = {key for key in wanted if store and store.has_model(key)}
    taken = {key for key in wanted - stored if key in models}
    known, plan.taken = stored | taken, len(taken)
    plan.stored = len(cells) - len(lacking)
    left = {cell.key for cell in lacking}
    for cell in cells:
        if cell.key not in left:
            plan.passes -= attack_passes(cell.attack, sizes.queries, sizes.train)
    for cell in {cell.clean_key: cell for cell in cells}.values():
        if cell.clean_key not in wanted - known:
            plan.passes -= clean_passes(cell.subject.training.visible, sizes.train)
    for cell in {cell.defended_key: cell for cell in cells}.values():
        if cell.defended_key not in wanted - known:
            plan.passes -= defense_passes(cell.defense.visible, sizes.train)
        if cell.defended_key not in wanted:
            plan.passes -= PassForecast(sizes.database, 0)


def _sizes(request: Request, load: Load) -> Sizes:
    choice, _ = choose(entries.datasets, request.dataset)
    if choice is None:
        return Sizes(0, 0, 0, None)
    try:
        split = with_queries(load(choice), request.queries)
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


def choose(registered: Registry[Any], text: str) -> tuple[Choice[Any] | None, str]:
    """What a text names, or why it names nothing."""
    try:
        return registered.choose(Spec.parse(text)), ""
    except UsageError as error:
        return None, str(error)


def _lacking(registered: Registry[Any], text: str) -> str:
    """What has to be got before a choice can be used; empty if nothing, or if it is wrong altogether."""
    choice = None
    try:
        choice = registered.choose(Spec.parse(text))
        return choice.needs
    except UsageError as error:
        return str(error) if choice or isinstance(error, MissingData) else ""


def _unfit(choose: Callable[[str], Choice[Any]], text: str, bound: str) -> str:
    """Why an attack or a defense can't run, or not under a norm or a patch; empty if it can."""
    try:
        check_threat(choose(text), Threat(0.0, bound))
    except UsageError as error:
        return str(error)
    return ""


def _columns(row: str, column: str) -> list[str]:
    """The columns that an attack fills in a defense's row."""
    (defense, _), (attack, _) = choose(entries.defenses, row), choose(entries.attacks, column)
    if defense is None or attack is None:
        return [_title(column)]
    return [column_name(_title(column), attacker) for attacker in attackers(defense, attack)]


def _title(text: str) -> str:
    return text.partition(":")[0]
