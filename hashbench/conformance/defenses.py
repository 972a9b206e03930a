"""The rules for defenses, checked one by one on small data."""

from __future__ import annotations

import copy
import inspect
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from hashbench import datasets
from hashbench.conformance import rules
from hashbench.conformance.rules import RuleLine, TrialSetting, digits_setting, strange_settings, verdict
from hashbench.errors import BadOutput, InvalidCell
from hashbench.evaluation.foreign_code import defend, explain
from hashbench.metrics.score import retrieval
from hashbench.models.codes import bit_entropy, encode
from hashbench.models.data import ImageSet, RetrievalSplit
from hashbench.models.helpers import on_cpu
from hashbench.models.model import HashModel, binarize, frozen
from hashbench.models.pass_counter import Passes, counted
from hashbench.registry import entries
from hashbench.registry.entries import Choice
from hashbench.registry.protocols import Defense
from hashbench.seeds import seeded
from hashbench.types import Codes

CLOSE = 1e-4  # of relaxed codes of one image in batches of another order
MARGIN = 0.1  # by which mAP must exceed the chance level
ENTROPY = 0.1  # bits are constant below it, in [0, 1]
GRADIENTS = 64  # images whose gradients are looked at


@dataclass(frozen=True)
class DefenseTrial:
    """One application of a defense: what it was given and returned, and what it did on the way."""

    given: HashModel
    before: dict[str, Tensor]
    train: ImageSet
    model: HashModel
    passes: Passes
    loaded: list[str]


def check_defense(choice: Choice[Defense]) -> list[RuleLine]:
    """Every rule with its outcome; only the rule `runs` if the defense raises.

    Raises:
        UsageError: the defense can't work with its parameters.
    """
    setting = digits_setting()
    choice.check(setting.new_model())
    try:
        trial = _apply(choice, setting)
        codes = _codes(trial.model, setting.split.queries)
    except InvalidCell as failure:
        return [rules.explained(failure)]
    trains = choice.entry.trains
    lines = [
        RuleLine(rules.RUNS, True),
        verdict(rules.MODES, lambda: _modes(trial)),
        verdict(rules.SEED, lambda: _repeats(choice, setting, trial)),
        verdict(rules.GRADIENT, lambda: _gradient(trial.model, setting.split.database)),
        verdict(rules.CODES, lambda: _collapse(trial.model, setting)),
        verdict(rules.LABELS, lambda: _peeks(choice, trial, setting, codes)),
    ]
    if trains:
        lines.append(verdict(rules.ROUND_TRIP, lambda: _round_trip(trial.model, setting, codes)))
    else:
        lines.append(RuleLine(rules.ROUND_TRIP, None, "it trains nothing and is applied anew each time"))
    lines += [
        RuleLine(rules.BUDGET, None, "it crafts no images"),
        verdict(rules.WRITES, lambda: _writes(trial, setting)),
        verdict(rules.SIZES, lambda: _sizes(choice)),
    ]
    if trains:
        return [*lines, verdict(rules.COST, lambda: _cost(trial))]
    return [*lines, RuleLine(rules.COST, None, "it trains nothing")]


def _apply(choice: Choice[Defense], setting: TrialSetting, seed: int = 0) -> DefenseTrial:
    given, passes, loaded = copy.deepcopy(setting.model), Passes(), list[str]()
    before, train = copy.deepcopy(given.state_dict()), setting.split.train.copied()
    with seeded(seed):
        method = setting.method(given)
        with counted(given, passes), _watched(loaded):
            model = defend(choice, given, train, method, setting.threat)
    return DefenseTrial(given, before, train, model, Passes(passes.forwards, passes.backwards), loaded)


def _codes(model: HashModel, images: ImageSet, seed: int = 0) -> Codes:
    """Relaxed codes, with the noise of a randomised model drawn from a seed."""
    with seeded(seed):
        codes: Codes = explain("the defended model", encode, model, images)
    if codes.shape != (len(images), model.bits) or not torch.isfinite(codes).all():
        raise BadOutput(f"codes have shape {list(codes.shape)} or are not finite")
    return codes


def _modes(trial: DefenseTrial) -> str:
    if any(module.training for module in trial.model.modules()):
        return "the returned model is in training mode, dropout and batch norm included"
    if any(module.training for module in trial.given.modules()):
        return "the given model was in eval mode and is in training mode now"
    if not all(weight.requires_grad for weight in trial.given.parameters()):
        return "weights of the given model no longer ask for gradients"
    return ""


def _repeats(choice: Choice[Defense], setting: TrialSetting, trial: DefenseTrial) -> str:
    again = _apply(choice, setting)
    one, two = trial.model.state_dict(), again.model.state_dict()
    if one.keys() != two.keys() or not all(torch.equal(one[name], two[name]) for name in one):
        return "two runs with one seed gave different weights"
    queries = setting.split.queries
    if not torch.equal(_codes(trial.model, queries), _codes(again.model, queries)):
        return "two runs with one seed gave different codes"
    return ""


def _gradient(model: HashModel, images: ImageSet) -> str:
    with seeded(0), frozen(model):
        pixels = images.images[torch.arange(GRADIENTS)].clone().requires_grad_()
        codes = model(pixels)
        if not codes.requires_grad:
            return "the relaxed codes do not depend on the pixels for autograd"
        target = (codes * torch.randn(codes.shape)).sum()
        (gradient,) = torch.autograd.grad(target, pixels, allow_unused=True)
    if gradient is None or not (gradient != 0).any():
        return "the gradient of the relaxed codes with respect to the pixels is 0"
    if not torch.isfinite(gradient).all():
        return "the gradient of the relaxed codes with respect to the pixels is not finite"
    share = (gradient != 0).flatten(1).any(1).float().mean().item()
    return "" if share >= 0.5 else f"the gradient is 0 in {1 - share:.0%} of the images"


def _collapse(model: HashModel, setting: TrialSetting) -> str:
    queries, database = setting.split.queries, setting.split.database
    if model.bits != setting.model.bits:
        return f"the model has {model.bits} bits, the given one {setting.model.bits}"
    one, two = binarize(_codes(model, queries)), binarize(_codes(model, database))
    both = torch.cat([one, two])
    distinct, entropy = len(torch.unique(both, dim=0)), bit_entropy(both)
    if distinct < database.labels.shape[1] // 2 or entropy < ENTROPY:
        return f"{len(both)} images got {distinct} different codes, with a bit entropy of {entropy:.2f}"
    found = retrieval(one, queries.labels, two, database.labels)
    if found.map < found.chance_map + MARGIN:
        return f"mAP {found.map:.2f} is not {MARGIN:g} above its chance level {found.chance_map:.2f}"
    return ""


def _peeks(choice: Choice[Defense], trial: DefenseTrial, setting: TrialSetting, codes: Codes) -> str:
    """Whether the defense loads data itself, or codes depend on labels or on the order of the images."""
    loaded, queries = list(trial.loaded), setting.split.queries
    with _watched(loaded):
        again, other = (_codes(trial.model, queries, seed) for seed in (0, 1))
    if loaded:
        return f"it loads images and labels beside those it was given ({loaded[0]})"
    held = inspect.unwrap(choice.entry.function).__globals__.items()
    if names := [name for name, value in held if isinstance(value, RetrievalSplit | ImageSet)]:
        return f"its file holds images and labels beside those it was given ({names[0]})"
    if not torch.equal(again, codes):
        return ""  # noise that no seed decides has a rule of its own, and hides what is looked for here
    everything = torch.arange(len(queries))
    order = everything.flip(0) if torch.equal(other, codes) else everything  # places draw a randomised model's noise
    beside = ImageSet(queries.images[order], queries.labels.roll(1, 1))
    changed = (_codes(trial.model, beside) - codes[order]).abs().max().item()
    return "a query's code changes with the labels, or with the order of the queries" if changed > CLOSE else ""


def _round_trip(model: HashModel, setting: TrialSetting, codes: Codes) -> str:
    with seeded(2):
        fresh = setting.new_model()
    tensors = load(explain("saving the model", save, on_cpu(model.state_dict())))
    try:
        fresh.load_state_dict(tensors)
    except RuntimeError:
        return "the returned model has other layers than the given one"
    changed = (_codes(fresh, setting.split.queries) - codes).abs().max().item()
    return f"after loading, relaxed codes differ by {changed:.2g}" if changed > CLOSE else ""


def _writes(trial: DefenseTrial, setting: TrialSetting) -> str:
    now = trial.given.state_dict()
    names = [name for name, value in trial.before.items() if name not in now or not torch.equal(value, now[name])]
    if names:
        return f"{len(names)} tensors of the given model changed, {names[0]} among them"
    was, now = (
        {"train.images": part.images, "train.labels": part.labels} for part in (setting.split.train, trial.train)
    )
    return rules.changed_data(was, now)


def _sizes(choice: Choice[Defense]) -> str:
    for setting in strange_settings():
        split = setting.split
        try:
            model = _apply(choice, setting).model
            if model.bits != setting.model.bits:
                raise BadOutput(f"codes have {model.bits} bits")
            _codes(model, split.queries)
        except InvalidCell as failure:
            return f"{setting.model.bits} bits, {split.channels} x {split.size} x {split.size} pixels: {failure}"
    return ""


def _cost(trial: DefenseTrial) -> str:
    weights = dict(trial.given.named_parameters())
    learned = any(
        name not in weights or not torch.equal(weight, trial.before[name])
        for name, weight in trial.model.named_parameters()
    )
    if not trial.passes.forwards or (learned and not trial.passes.backwards):
        return f"{trial.passes.forwards} forward and {trial.passes.backwards} backward passes were seen"
    return ""


@contextmanager
def _watched(loaded: list[str]) -> Iterator[None]:
    """Record the data set functions that are called inside the block, by whatever code."""
    home = str(Path(str(datasets.__file__)).parent)
    codes = {inspect.unwrap(entry.function).__code__ for entry in entries.datasets}

    def note(frame: FrameType, event: str, argument: Any) -> None:
        code = frame.f_code
        if event == "call" and (code in codes or code.co_filename.startswith(home)):
            loaded.append(code.co_name)

    before = sys.getprofile()
    sys.setprofile(note)
    threading.setprofile(note)
    try:
        yield
    finally:
        sys.setprofile(before)
        threading.setprofile(None)
