"""The rules for defenses and attacks, how to fix violations, and the small data they are checked on."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from hashbench.errors import HashbenchError, InvalidCell
from hashbench.models.codes import encode
from hashbench.models.data import ImageSet, RetrievalSplit, split_of_tensors
from hashbench.models.model import HashModel
from hashbench.registry import entries
from hashbench.registry.entries import Choice, Registry
from hashbench.registry.parameters import parameters
from hashbench.registry.protocols import Method
from hashbench.registry.spec import Spec
from hashbench.seeds import seeded
from hashbench.threat import Threat
from hashbench.training.recipe import Recipe
from hashbench.training.undefended import clean_training

QUICK_EPOCHS = "2"  # of a defense that has the parameter `epochs`, unless it is given
BITS, TRAIN, QUERIES, DATABASE = 16, 300, 60, 400
# Bits, channels, size and labels an image of data that nobody tunes for.
STRANGE = ((12, 3, 8, 2), (48, 1, 16, 1), (48, 3, 16, 2))

RUNS = "runs"
MODES = "modes restored"
SEED = "deterministic under the seed"
GRADIENT = "gradients reach the input"
MOVES = "images move"
CODES = "codes of the right shape, not collapsed"
LABELS = "no query labels"
ROUND_TRIP = "the same codes after save and load"
BUDGET = "budget respected"
WRITES = "nothing given is written to"
SIZES = "any code length, image size and number of labels"
COST = "cost counted"

# What to do where a line fails.
REPAIRS = {
    RUNS: "'hashbench run --plugin FILE' shows where",
    MODES: "train a copy.deepcopy(model) by hashbench.fit, change modes inside hashbench.frozen only, "
    "and return model.eval()",
    SEED: "draw every random number from torch's global generator, or in an attack from queries.random(stream)",
    GRADIENT: "take out detach, no_grad and rounding on the way from pixels to codes, or pass their gradient on",
    MOVES: "return the crafted images, not the clean ones, and give the attack steps and a step size above 0",
    CODES: "keep the hashing loss of clean images in the training loss, and return one code of model.bits an image",
    LABELS: "train on the images of `train` alone, and make a code of its image alone",
    ROUND_TRIP: "keep what a forward pass needs in parameters of the given architecture, or register the defense "
    "with trains=False",
    BUDGET: "end with threat.project(images, queries.images)",
    WRITES: "work on copy.deepcopy(model), and on a clone of a tensor",
    SIZES: "read sizes from the arguments: model.bits, images.shape, labels.shape[1]",
    COST: "call the model itself, or a copy.deepcopy of it, for each pass: the passes through it are counted",
}


@dataclass(frozen=True)
class RuleLine:
    """A rule with its outcome; `passed` is None if the rule does not apply."""

    rule: str
    passed: bool | None
    reason: str = ""

    def __str__(self) -> str:
        mark = {True: "pass", False: "FAIL", None: "n/a "}[self.passed]
        return f"{mark}  {self.rule}{f': {self.reason}' if self.reason else ''}"


def verdict(rule: str, probe: Callable[[], str]) -> RuleLine:
    """The line of a rule.

    Args:
        probe: says what is wrong, in a few words; empty if nothing is. One that raises an InvalidCell fails.
    """
    try:
        problem = probe()
    except InvalidCell as failure:
        problem = str(failure)
    return RuleLine(rule, not problem, f"{problem}; {REPAIRS[rule]}" if problem else "")


@dataclass(frozen=True)
class TrialSetting:
    """A model with the data that a defense or an attack is tried on."""

    model: HashModel
    split: RetrievalSplit
    threat: Threat

    def method(self, model: HashModel) -> Method:
        """A hashing method for the setting's training set."""
        train = self.split.train
        made: Method = entries.methods["csq"].function(encode(model, train), train.labels)
        return made

    def new_model(self) -> HashModel:
        """An untrained model of the same architecture."""
        return _new_model(self.model.bits, self.split.channels, self.split.size)


@functools.cache
def digits_setting() -> TrialSetting:
    """A few hundred digits and a small network that was trained on them for a second."""
    split: RetrievalSplit = entries.datasets["digits"].function()
    setting = replace(
        split,
        train=_head(split.train, TRAIN),
        queries=_head(split.validation, QUERIES),
        database=_head(split.database, DATABASE),
    )
    with seeded(0):
        model = _new_model(BITS, split.channels, split.size)
        made = TrialSetting(model, setting, Threat(split.eps))
        clean_training(model, setting.train, made.method(model), recipe=Recipe(epochs=8, batch_size=32))
    return made


@functools.cache
def strange_settings() -> tuple[TrialSetting, ...]:
    """Untrained networks with random images of unusual sizes, code lengths and numbers of labels."""
    with seeded(1):
        return tuple(_random_setting(*facts) for facts in STRANGE)


def changed_data(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """What is wrong if a tensor of the given data is no longer as it was; empty if nothing is."""
    names = [name for name, tensor in before.items() if not torch.equal(tensor, now[name])]
    return f"{names[0]} changed" if names else ""


def choose(group: Registry[Any], spec: Spec) -> Choice[Any]:
    """An entry at its cheapest: two epochs, or the preset `quick`, unless parameters say otherwise.

    Raises:
        UsageError: the name or a parameter is unknown.
    """
    entry = group[spec.name]
    words = dict(spec.params)
    if "epochs" in {parameter.name for parameter in parameters(entry.function)}:
        words.setdefault("epochs", QUICK_EPOCHS)
    if "quick" in entry.presets:
        words.setdefault("preset", "quick")
    return group.choose(Spec(spec.name, words))


def explained(error: HashbenchError) -> RuleLine:
    """The only line for a plugin that does not run at all."""
    return RuleLine(RUNS, False, f"{error}; {REPAIRS[RUNS]}")


def _new_model(bits: int, channels: int, size: int) -> HashModel:
    network = entries.backbones["cnn"].function(bits, channels, size, width=8)
    return HashModel(network, bits).eval()


def _head(images: ImageSet, number: int) -> ImageSet:
    index = torch.arange(number)
    return ImageSet(images.images[index], images.labels[index])


def _random_setting(bits: int, channels: int, size: int, most_labels: int) -> TrialSetting:
    def draw(number: int, classes: int = 5) -> ImageSet:
        first = torch.arange(number) % classes
        labels = torch.zeros(number, classes)
        labels[torch.arange(number), first] = 1
        labels[torch.arange(number), (first + torch.randint(most_labels, (number,))) % classes] = 1
        return ImageSet(torch.rand(number, channels, size, size), labels)

    split = split_of_tensors(train=draw(40), queries=draw(6), validation=draw(6), database=draw(30), eps=0.1)
    return TrialSetting(_new_model(bits, channels, size), split, Threat(split.eps))
