"""A forecast in words: what is missing, and about how many passes, hours and bytes requests take."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import torch

from hashbench.errors import HashbenchError
from hashbench.evaluation.foreign_code import explain_early, new_network
from hashbench.models.pass_cost import PassCost, measure_pass
from hashbench.registry import entries
from hashbench.running.forecast.plan import Plan, choose, plan_of
from hashbench.running.request import Request, load_once, read_eps
from hashbench.running.store import Store
from hashbench.threat import default_eps, format_eps, format_threat

GIGABYTE = 1e9
HOUR, MINUTE = 3600, 60


def forecast(
    requests: Sequence[Request],
    device: torch.device | None = None,
    store: Store | None = None,
    models: Iterable[str] = (),
) -> Iterator[str]:
    """Describe what requests would do, line by line; nothing is trained, downloaded or written.

    What is missing, and what can't run, stands first, each once. Passes are counted by `epochs`, `steps` and
    `restarts`; what has none of these counts as one pass per image. Hours and memory come from passes of a few random
    images through each network, on the given device (the CPU by default): trainings' own steps, probes and intervals
    come on top.

    Args:
        store: cells and models that it has need no more passes.
        models: keys of further models that need no training.
    """
    device = device or torch.device("cpu")
    load = load_once()
    known = frozenset(models)
    plans = [plan_of(request, load, store, known) for request in requests]
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
        cells = f"{_several(plan.cells, 'cell')}{f', {plan.stored} of them stored' if plan.stored else ''}"
        cells += f", {_several(plan.taken, 'model')} from a zoo" if plan.taken else ""
        yield f"  {cells}, {plan.passes.all:,} passes{f', about {_duration(took)}' if cost and took else ''}"
        seconds, memory = seconds + took, max(memory, cost.memory(plan.steps) if cost else 0.0)
    cells, idle, stored, passes = (
        sum(values) for values in zip(*((p.cells, p.idle, p.stored, p.passes.all) for p in plans), strict=True)
    )
    runs = f"{_several(len(plans), 'run')}, {_several(cells, 'cell')}"
    said = f"{idle} of them can't run{f', {stored} are stored' if stored else ''}"
    yield f"{runs} ({said}), about {passes:,} passes; nothing was trained"
    if math.isfinite(seconds) and seconds:
        yield (
            f"about {_duration(seconds)} and {memory / GIGABYTE:.2g} GB beside the data on one {device.type}, from "
            "passes measured now; trainings' own steps, probes and intervals come on top"
        )


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
        choice, problem = choose(entries.backbones, plan.request.backbone)
        known[key] = None
        if choice and not problem:
            bare = (
                replace(choice, params={**choice.params, "weights": "none"}) if "weights" in choice.params else choice
            )
            try:
                model = new_network(bare, plan.request.bits, sizes.channels, sizes.size)
                known[key] = explain_early(
                    f"network {choice.label}", measure_pass, model, sizes.channels, sizes.size, device
                )
            except HashbenchError:
                return None
    return known[key]


def _duration(seconds: float) -> str:
    if seconds >= HOUR:
        return f"{seconds / HOUR:,.1f} hours"
    if seconds >= MINUTE:
        return _several(round(seconds / MINUTE), "minute")
    return _several(max(1, round(seconds)), "second")


def _several(number: int, name: str) -> str:
    return f"{number:,} {name}{'' if number == 1 else 's'}"
