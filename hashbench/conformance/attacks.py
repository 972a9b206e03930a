"""The rules for attacks, checked one by one on small data."""

from __future__ import annotations

import copy
import inspect
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hashbench.conformance import rules
from hashbench.conformance.rules import RuleLine, TrialSetting, digits_setting, strange_settings, verdict
from hashbench.crafting.targets import draw_targets
from hashbench.errors import BadOutput, InvalidCell
from hashbench.evaluation.foreign_code import explain
from hashbench.evaluation.judge import make_victim
from hashbench.models.data import Queries, Victim
from hashbench.models.model import HashModel, frozen
from hashbench.models.pass_counter import Passes, counted
from hashbench.registry.attack_guard import shown, tensors_of
from hashbench.registry.entries import Choice
from hashbench.registry.protocols import Attack
from hashbench.registry.ranking_box import without_labels
from hashbench.registry.tracks import RANKING
from hashbench.seeds import seeded
from hashbench.threat import TOLERANCE, Threat
from hashbench.types import Images

BATCH = 12  # queries that are attacked
BUDGETS = {"linf": (0.0, 1 / 255, 0.07, 0.3), "l2": (0.0, 0.02, 0.5, 2.0), "patch": (0.0, 0.3, 1.0)}
SIDE = 3  # of a patch


@dataclass(frozen=True)
class AttackTrial:
    """One run of an attack without the harness around it: images, and what it did to the victim."""

    images: Images
    model: HashModel
    before: dict[str, Tensor]
    victim: Victim
    data_before: dict[str, Any]
    modes_kept: bool
    passes: Passes


def check_attack(choice: Choice[Attack]) -> list[RuleLine]:
    """Every rule with its outcome; only the rule `runs` if the attack raises."""
    setting = digits_setting()
    try:
        trial = _run(choice, setting, threat_of(_kind(choice), setting.threat.eps))
    except InvalidCell as failure:
        return [rules.explained(failure)]
    access = choice.entry.access
    lines = [
        RuleLine(rules.RUNS, True),
        verdict(rules.MODES, lambda: "" if trial.modes_kept else "it leaves the model in other modes"),
        verdict(rules.SEED, lambda: _repeats(choice, setting, trial)),
    ]
    if access == "none":
        lines.append(RuleLine(rules.MOVES, None, "it does not see the model"))
    else:
        lines.append(verdict(rules.MOVES, lambda: _still(choice, setting, trial)))
    lines += [
        RuleLine(rules.LABELS, None, "an attacker may know the labels of its queries"),
        verdict(rules.BUDGET, lambda: _excess(choice, setting)),
        verdict(rules.WRITES, lambda: _writes(trial)),
        verdict(rules.SIZES, lambda: _sizes(choice)),
    ]
    if access == "white":
        return [*lines, verdict(rules.COST, lambda: "" if trial.passes.forwards else "no passes were seen")]
    return [*lines, RuleLine(rules.COST, None, f"it has access {access}")]


def threat_of(kind: str, eps: float) -> Threat:
    """A threat of a kind, on which an attack is tried."""
    return Threat(eps, f"patch-{SIDE}" if kind == "patch" else kind)


def _kind(choice: Choice[Attack]) -> str:
    """The kind of threat that an attack is tried on: linf, if it works with that."""
    return "linf" if "linf" in choice.entry.threats else choice.entry.threats[0]


def _queries(choice: Choice[Attack], setting: TrialSetting) -> Queries:
    split, index = setting.split, torch.arange(min(BATCH, len(setting.split.queries)))
    images, labels = split.queries.images[index], split.queries.labels[index]
    targets = draw_targets(labels, split.database.labels, 0) if choice.goal == "targeted" else None
    return Queries(images.clone(), labels.clone(), index, 0, targets)


def _run(choice: Choice[Attack], setting: TrialSetting, threat: Threat) -> AttackTrial:
    """Prepare and craft with the attack's bare function, so that nothing undoes its changes."""
    model, queries, passes = copy.deepcopy(setting.model), _queries(choice, setting), Passes()
    before, clean = copy.deepcopy(model.state_dict()), queries.images.clone()
    victim = make_victim(model, setting.split.train.copied(), setting.split.database.copied())
    data_before = copy.deepcopy(tensors_of(victim))
    images, kept = _craft(choice, victim, threat, queries, passes)
    if not isinstance(images, Tensor) or images.shape != clean.shape or not torch.isfinite(images).all():
        raise BadOutput("it returned no tensor of finite images of the queries' shape")
    return AttackTrial(images.detach(), model, before, victim, data_before, kept, passes)


def _craft(
    choice: Choice[Attack], victim: Victim, threat: Threat, queries: Queries, passes: Passes
) -> tuple[Images, bool]:
    model, function = victim.model, inspect.unwrap(choice.entry.function)
    access = choice.entry.access
    given, asked = shown(victim, access, choice.params), without_labels(queries) if access == RANKING else queries
    who = f"attack {choice.label}"
    with seeded(0), frozen(model), counted(model, passes):
        craft = explain(who, lambda: function(given, threat, **choice.params))
        images = explain(who, craft, asked)
        in_eval = not any(module.training for module in model.modules())
        return images, in_eval and not any(weight.requires_grad for weight in model.parameters())


def _repeats(choice: Choice[Attack], setting: TrialSetting, trial: AttackTrial) -> str:
    again = _run(choice, setting, threat_of(_kind(choice), setting.threat.eps)).images
    return "" if torch.equal(again, trial.images) else "two runs with one seed gave different images"


def _still(choice: Choice[Attack], setting: TrialSetting, trial: AttackTrial) -> str:
    clean = _queries(choice, setting).images
    if (trial.images != clean).any():
        return ""
    kind = _kind(choice)
    wide = threat_of(kind, BUDGETS[kind][-1])  # a short search may find nothing in a small budget
    moved = (_run(choice, setting, wide).images != clean).any()
    return "" if moved else f"no pixel of any image moved, with eps={wide.eps:g} either"


def _excess(choice: Choice[Attack], setting: TrialSetting) -> str:
    clean = _queries(choice, setting).images
    for kind in choice.entry.threats:
        for eps in BUDGETS[kind]:
            threat = threat_of(kind, eps)
            images = _run(choice, setting, threat).images
            excess = (images - threat.project(images, clean)).abs().max().item()
            if excess > TOLERANCE:
                where = f"eps={eps:.3g}" if kind == "linf" else f"{threat.norm} and eps={eps:.3g}"
                return f"with {where} a pixel lies {excess:.2g} outside of the budget or of [0, 1]"
    return ""


def _writes(trial: AttackTrial) -> str:
    now = trial.model.state_dict()
    names = [name for name, value in trial.before.items() if not torch.equal(value, now[name])]
    if names:
        return f"{len(names)} tensors of the given model changed, {names[0]} among them"
    return rules.changed_data(trial.data_before, tensors_of(trial.victim))


def _sizes(choice: Choice[Attack]) -> str:
    for setting in strange_settings():
        split = setting.split
        try:
            _run(choice, setting, threat_of(_kind(choice), setting.threat.eps))
        except InvalidCell as failure:
            return f"{setting.model.bits} bits, {split.channels} x {split.size} x {split.size} pixels: {failure}"
    return ""
