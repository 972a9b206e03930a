"""The state of trainings, saved after each epoch: a killed training resumes and ends with the same weights."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from hashbench.models.pass_counter import Passes
from hashbench.progress import track

RANDOM = "random"  # the part that holds torch's random states


@runtime_checkable
class Stateful(Protocol):
    """A part of a training whose state can be saved and loaded, such as a module, an optimiser or a schedule."""

    def state_dict(self) -> Any:
        """The state: nested dictionaries and lists of tensors, numbers, strings and None."""

    def load_state_dict(self, state_dict: Any, /) -> Any:
        """Restore a state that `state_dict` returned."""


class StoredTraining(Protocol):
    """The state of an unfinished training: tensors by name, and the rest as a JSON value."""

    @property
    def tensors(self) -> Mapping[str, Tensor]:
        """By the names under which they were stored."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """What else was stored."""


class TrainingStore(Protocol):
    """Where unfinished trainings are stored."""

    def training(self, name: str) -> StoredTraining | None:
        """The state of an unfinished training, or None."""

    def save_training(self, name: str, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Store the state of an unfinished training, in place of an earlier one."""

    def drop_training(self, name: str) -> None:
        """Forget a training that has ended."""


@dataclass
class Savepoint:
    """Saves the trainings that make one checkpoint while they run.

    A defense may train several times: trainings are numbered in the order in which they begin.

    Args:
        store: where states are saved.
        key: key of the checkpoint that is being made.
        passes: images that have gone through the model so far; a resumed training continues the count.
        fresh: start every training from the beginning, even if a state of it is stored.
        device: where the model is.
    """

    store: TrainingStore
    key: str
    passes: Passes
    fresh: bool = False
    began: float = field(default_factory=time.perf_counter)
    trainings: int = 0
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def seconds(self) -> float:
        """Seconds spent on the checkpoint, including those before an interruption."""
        return time.perf_counter() - self.began

    def next_name(self) -> str:
        """The name of the training that begins now; counts it."""
        self.trainings += 1
        return f"{self.key}-{self.trainings}"

    def load(self, name: str, parts: Mapping[str, Stateful]) -> int:
        """Restore the parts; returns the number of finished epochs, 0 if nothing is stored for these parts."""
        kept = None if self.fresh else self.store.training(name)
        state = {} if kept is None else unflatten(kept.facts["state"], kept.tensors)
        random = state.pop(RANDOM, None)
        if kept is None or random is None or state.keys() != parts.keys():
            return 0
        _set_random_state(random, self.device)
        for label, part in parts.items():
            part.load_state_dict(state[label])
        self.passes.forwards, self.passes.backwards = kept.facts["passes"]
        self.began = time.perf_counter() - kept.facts["seconds"]
        return int(kept.facts["epochs"])

    def save(self, name: str, parts: Mapping[str, Stateful], epochs: int) -> None:
        """Save the parts after a number of epochs."""
        state = {label: part.state_dict() for label, part in parts.items()} | {RANDOM: _random_state(self.device)}
        tensors: dict[str, Tensor] = {}
        facts = {
            "state": flatten(state, tensors),
            "epochs": epochs,
            "passes": [self.passes.forwards, self.passes.backwards],
            "seconds": self.seconds,
        }
        self.store.save_training(name, tensors, facts)

    def finish(self) -> None:
        """Delete the saved trainings, once their checkpoint is stored."""
        for number in range(1, self.trainings + 1):
            self.store.drop_training(f"{self.key}-{number}")


_savepoint: ContextVar[Savepoint | None] = ContextVar("savepoint", default=None)


@contextmanager
def kept_at(savepoint: Savepoint) -> Iterator[None]:
    """Save the trainings inside the block at a savepoint, and resume those that it has saved before."""
    token = _savepoint.set(savepoint)
    try:
        yield
    finally:
        _savepoint.reset(token)


def epochs_left(parts: Mapping[str, Stateful], epochs: int, name: str) -> Iterator[int]:
    """The remaining epochs of a training, shown under a name; the state is saved after each.

    Outside `kept_at` these are all epochs, and nothing is saved.

    >>> list(epochs_left({}, 3, "an example"))
    [0, 1, 2]
    """
    savepoint = _savepoint.get()
    if savepoint is None:
        yield from track(range(epochs), name)
        return
    place = savepoint.next_name()
    for epoch in track(range(savepoint.load(place, parts), epochs), name):
        yield epoch
        savepoint.save(place, parts, epoch + 1)


def flatten(value: Any, tensors: dict[str, Tensor]) -> Any:
    """A nested state as a JSON value; its tensors are added to `tensors` under new names.

    Raises:
        TypeError: the state holds anything but tensors, numbers, strings and None.

    >>> tensors = {}
    >>> state = flatten({"weight": torch.ones(2), "step": 3}, tensors)
    >>> list(tensors), unflatten(state, tensors)["step"]
    (['t0'], 3)
    """
    if isinstance(value, Tensor):
        name = f"t{len(tensors)}"
        tensors[name] = value.detach().cpu().clone()
        return ["tensor", name]
    if isinstance(value, Mapping):
        return ["dict", [[key, flatten(item, tensors)] for key, item in value.items()]]
    if isinstance(value, list | tuple):
        return [type(value).__name__, [flatten(item, tensors) for item in value]]
    json.dumps(value, allow_nan=False)
    return ["value", value]


def unflatten(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    """The nested state that `flatten` took apart."""
    kind, content = value
    if kind == "tensor":
        return tensors[content]
    if kind == "dict":
        return {key: unflatten(item, tensors) for key, item in content}
    if kind in ("list", "tuple"):
        items = [unflatten(item, tensors) for item in content]
        return items if kind == "list" else tuple(items)
    return content


def _random_state(device: torch.device) -> dict[str, Any]:
    """The states of the generators that a training on a device may draw from."""
    own = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
    return {"cpu": torch.get_rng_state(), "cuda": [] if own is None else [own]}


def _set_random_state(state: Mapping[str, Any], device: torch.device) -> None:
    """Restore `_random_state`, on the same device or another one: older states have one for each GPU there was."""
    torch.set_rng_state(state["cpu"])
    if state["cuda"] and device.type == "cuda":
        number = (device.index or 0) if len(state["cuda"]) > 1 else 0
        torch.cuda.set_rng_state(state["cuda"][min(number, len(state["cuda"]) - 1)], device)
