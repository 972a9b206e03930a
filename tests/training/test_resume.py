"""A training that is killed after some epochs and started again ends with the same weights, bit by bit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from toys import random_images, small_model

from hashbench.errors import CodeRaised
from hashbench.methods.csq import csq
from hashbench.methods.dsdh import dsdh
from hashbench.methods.greedyhash import greedyhash
from hashbench.models.codes import encode
from hashbench.models.model import HashModel
from hashbench.models.pass_counter import Passes, counted
from hashbench.registry.entries import defenses
from hashbench.registry.protocols import Method, MethodFactory
from hashbench.registry.spec import Spec
from hashbench.running.store import Store
from hashbench.threat import Threat
from hashbench.training import resume as module
from hashbench.training.loop import fit
from hashbench.training.recipe import Recipe
from hashbench.training.resume import Savepoint, flatten, kept_at, unflatten
from hashbench.types import Images, Index, Labels, Scalar

EPOCHS = 4
TRAINING = [entry.name for entry in defenses if entry.trains]


def defend(name: str, point: Savepoint, factory: MethodFactory = csq, **words: str) -> HashModel:
    """One defense, from its seed, as the harness runs it."""
    torch.manual_seed(5)
    train, model = random_images(40), small_model()
    method: Method = factory(encode(model, train), train.labels)
    choice = defenses.choose(Spec(name, {"epochs": str(EPOCHS), "batch_size": "16", **words}))
    with counted(model, point.passes), kept_at(point):
        found: HashModel = choice.call(model, train, method, Threat(0.1))
    return found


@pytest.fixture
def killed_after(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Holds how many epochs may still be saved before the process 'dies'."""
    left = [EPOCHS]
    save = Savepoint.save

    def dying(self: Savepoint, *args: object) -> None:
        save(self, *args)  # type: ignore[arg-type]
        left[0] -= 1
        if left[0] == 0:
            raise CodeRaised("killed")

    monkeypatch.setattr(module.Savepoint, "save", dying)
    return left


def check_resumed(store: Store, killed_after: list[int], name: str, factory: MethodFactory, **words: str) -> None:
    killed_after[0] = 100
    whole = Savepoint(store, "whole", Passes())
    undisturbed = defend(name, whole, factory, **words).state_dict()
    killed_after[0] = 2
    with pytest.raises(CodeRaised, match="killed"):
        defend(name, Savepoint(store, "cut", Passes()), factory, **words)
    killed_after[0] = 100
    again = Savepoint(store, "cut", Passes())
    resumed = defend(name, again, factory, **words).state_dict()
    assert all(torch.equal(resumed[key], value) for key, value in undisturbed.items())
    assert again.passes == whole.passes
    assert 100 - killed_after[0] == EPOCHS - 2


@pytest.mark.parametrize("name", TRAINING)
@pytest.mark.parametrize("schedule", [("adam", "one-cycle"), ("sgd", "halves")])
def test_every_defense_goes_on_bit_by_bit(
    tmp_path: Path, killed_after: list[int], name: str, schedule: tuple[str, str]
) -> None:
    words = {"optimiser": schedule[0], "schedule": schedule[1], "learning_rate": "0.005"}
    check_resumed(Store(tmp_path), killed_after, name, csq, **words)


@pytest.mark.parametrize("factory", [dsdh, greedyhash])
def test_a_method_with_a_memory_or_weights_goes_on_too(
    tmp_path: Path, killed_after: list[int], factory: MethodFactory
) -> None:
    check_resumed(Store(tmp_path), killed_after, "cgat", factory)


def test_averages_and_regularisers_go_on_too(tmp_path: Path, killed_after: list[int]) -> None:
    words = {"ema": "0.9", "awp": "0.01", "cutmix": "0.5", "interval": "0.1", "optimiser": "adamw"}
    words |= {"by_margin": "-0.5", "cold": "true"}
    check_resumed(Store(tmp_path), killed_after, "cgat", csq, **words)


@pytest.mark.parametrize("label", ["memory", "model", "optimiser", "random"])
def test_what_a_loss_carries_may_have_any_name(tmp_path: Path, killed_after: list[int], label: str) -> None:
    def mine(point: Savepoint) -> dict[str, torch.Tensor]:
        torch.manual_seed(5)
        train, model, memory = random_images(40), small_model(), torch.nn.BatchNorm1d(1)
        method = csq(encode(model, train), train.labels)

        def loss(images: Images, labels: Labels, index: Index) -> Scalar:
            value: Scalar = method(model(images), labels, index) + memory(images.mean((1, 2, 3))[:, None]).sum()
            seen: torch.Tensor = memory.state_dict()["running_mean"]
            return value * seen.sum()

        with kept_at(point):
            recipe = Recipe(EPOCHS, batch_size=16)
            return fit(model, train, method, loss, recipe, state={label: memory}).state_dict()

    killed_after[0] = 100
    undisturbed = mine(Savepoint(Store(tmp_path), "whole", Passes()))
    killed_after[0] = 2
    with pytest.raises(CodeRaised, match="killed"):
        mine(Savepoint(Store(tmp_path), "cut", Passes()))
    killed_after[0] = 100
    resumed = mine(Savepoint(Store(tmp_path), "cut", Passes()))
    assert all(torch.equal(resumed[key], value) for key, value in undisturbed.items())
    assert 100 - killed_after[0] == EPOCHS - 2


def test_a_state_of_other_parts_counts_as_missing(tmp_path: Path) -> None:
    store, part = Store(tmp_path), torch.nn.Linear(2, 2)
    Savepoint(store, "k", Passes()).save("k-1", {"guided": part}, 2)
    assert Savepoint(store, "k", Passes()).load("k-1", {"state guided": part}) == 0
    assert Savepoint(store, "k", Passes()).load("k-1", {"guided": part}) == 2


def test_a_finished_training_leaves_nothing_and_a_damaged_one_starts_anew(
    tmp_path: Path, killed_after: list[int]
) -> None:
    store = Store(tmp_path)
    killed_after[0] = 2
    with pytest.raises(CodeRaised):
        defend("cgat", Savepoint(store, "cut", Passes()))
    (tmp_path / "trainings" / "cut-1" / "weights.safetensors").write_bytes(b"damaged")
    killed_after[0] = 100
    again = Savepoint(store, "cut", Passes())
    defend("cgat", again)
    assert 100 - killed_after[0] == EPOCHS
    again.finish()
    assert not list((tmp_path / "trainings").iterdir())


def test_states_come_back_as_they_were() -> None:
    state = {"a": [1, 2.5, None, "x"], 3: {"t": torch.arange(3)}, "pair": (1, (2, True))}
    tensors: dict[str, torch.Tensor] = {}
    found = unflatten(flatten(state, tensors), tensors)
    assert torch.equal(found[3].pop("t"), torch.arange(3))
    assert found == {"a": [1, 2.5, None, "x"], 3: {}, "pair": (1, (2, True))}
    with pytest.raises(TypeError):
        flatten({"f": lambda: None}, {})


def test_generators_of_gpus_are_kept_for_the_device_of_the_training_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    states = {0: torch.zeros(2), 1: torch.ones(2)}
    given: dict[str, torch.Tensor] = {}
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda device: states[device.index])
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda state, device: given.update({str(device): state}))
    cpu, second = torch.device("cpu"), torch.device("cuda:1")
    assert module._random_state(cpu)["cuda"] == []
    own = module._random_state(second)
    assert own["cuda"] == [states[1]]
    module._set_random_state(own, torch.device("cuda:0"))
    module._set_random_state({**own, "cuda": list(states.values())}, second)  # as older releases kept it
    module._set_random_state(own, cpu)
    assert given == {"cuda:0": states[1], "cuda:1": states[1]}
    module._set_random_state({**own, "cuda": [states[0]]}, second)
    assert given["cuda:1"] is states[0], "of fewer GPUs"
