"""Every attack, defense, method and the referee on a second device: no mixed devices, few waits of the host."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from second_device import GPU, MixedDevicesError, OnGpu, second_device
from toys import random_images, small_model

from hashbench.api.checks import reproducible
from hashbench.conformance.rules import choose
from hashbench.crafting.targets import draw_targets
from hashbench.evaluation import probe as probing
from hashbench.evaluation.judge import Measurement, judge, make_victim
from hashbench.models.codes import encode
from hashbench.models.data import ImageSet
from hashbench.models.model import HashModel
from hashbench.registry import entries
from hashbench.registry.parameters import parameters
from hashbench.registry.spec import Spec
from hashbench.threat import Threat

CPU = torch.device("cpu")
THREAT = Threat(0.1)
# ART crafts in numpy: its attacks go to the host by their nature.
ATTACKS = [entry.name for entry in entries.attacks if not entry.name.startswith("art-")]
# DSDH solves a linear system on each epoch's first batch, which the second device can't carry out.
METHODS = [entry.name for entry in entries.methods if not entry.name.startswith("dsdh")]
DEFENSES = [entry.name for entry in entries.defenses if entry.name != "checkpoint"]


def sets(device: torch.device) -> list[ImageSet]:
    """Training images, queries and a database."""
    return [random_images(count, seed=seed).to(device) for count, seed in ((40, 1), (8, 2), (60, 4))]


def judged(name: str, device: torch.device) -> Measurement:
    train, queries, database = sets(device)
    victim = make_victim(small_model().to(device), train, database)
    choice = choose(entries.attacks, Spec(name))
    targets = draw_targets(queries.labels, database.labels, seed=5) if choice.goal == "targeted" else None
    threat = THREAT if "linf" in choice.entry.threats else Threat(1.0, "patch-3")
    return judge(choice, victim, queries, threat, 0, targets)


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_and_its_judging_give_the_same_on_another_device(name: str) -> None:
    wanted = judged(name, CPU)
    with second_device():
        found = judged(name, GPU)
    assert found.numbers == pytest.approx(wanted.numbers, abs=1e-5)
    for array, values in wanted.arrays.items():
        np.testing.assert_allclose(found.arrays[array], values, atol=1e-5, err_msg=array)


def defended(name: str, device: torch.device) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    model, train = small_model().to(device), random_images(40, seed=1).to(device)
    method = entries.methods.choose(Spec("csq")).call(encode(model, train), train.labels).to(device)
    made: HashModel = choose(entries.defenses, Spec(name)).call(model, train, method, THREAT)
    codes = encode(made, random_images(8, seed=2).to(device))
    return {"codes": codes.cpu(), **{key: tensor.cpu() for key, tensor in made.state_dict().items()}}


@pytest.mark.parametrize("name", DEFENSES)
def test_a_defense_gives_the_same_on_another_device(name: str) -> None:
    wanted = defended(name, CPU)
    with second_device():
        found = defended(name, GPU)
    for key, tensor in wanted.items():
        torch.testing.assert_close(found[key], tensor, atol=1e-5, rtol=1e-4)


def losses(name: str, device: torch.device) -> list[float]:
    torch.manual_seed(0)
    labels = random_images(24).labels.to(device)
    method = entries.methods.choose(Spec(name)).call(torch.tanh(torch.randn(24, 16)).to(device), labels).to(device)
    found = []
    for rows in (torch.arange(10), torch.arange(4, 16), torch.tensor([2])):
        codes = torch.tanh(torch.randn(len(rows), 16)).to(device).requires_grad_()
        loss = method(codes, labels[rows.to(device)], rows.to(device))
        (gradient,) = torch.autograd.grad(loss, codes)
        found += [loss.item(), gradient.abs().sum().item()]
    return found


@pytest.mark.parametrize("name", METHODS)
def test_a_method_gives_the_same_on_another_device(name: str) -> None:
    wanted = losses(name, CPU)
    with second_device():
        found = losses(name, GPU)
    assert found == pytest.approx(wanted, rel=1e-5)


def probed(device: torch.device) -> Measurement:
    train, queries, database = sets(device)
    victim = make_victim(small_model().to(device), train, database)
    undefended = make_victim(small_model(seed=1).to(device), train, database)
    black_box = entries.attacks.choose(Spec.parse("square-hamming:steps=3"))
    return probing.probe(victim, queries, THREAT, 0, black_box=black_box, undefended=undefended)


def test_the_probe_gives_the_same_on_another_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "STEPS", 2)
    wanted = probed(CPU)
    with second_device():
        found = probed(GPU)
    assert found.numbers == pytest.approx(wanted.numbers, abs=1e-5)
    for array, values in wanted.arrays.items():
        np.testing.assert_allclose(found.arrays[array], values, atol=1e-4, err_msg=array)


WALKS = ("dhta", "hag", "pgd-hamming", "pgd-own", "pharos", "sdha", "soft-ap", "tha")
# Which images are done decides which are moved, for which the host waits once a step; other waits are a few a walk.
WAITS_A_STEP = 4


def waits(name: str, steps: int) -> int:
    known = {parameter.name for parameter in parameters(entries.attacks[name].function)}
    with second_device() as device:
        train, queries, database = sets(GPU)
        victim = make_victim(small_model().to(GPU), train, database)
        few: dict[str, str] = {word: "1" for word in ("restarts", "net_steps") if word in known}
        choice = entries.attacks.choose(Spec(name, {**few, "steps": str(steps)}))
        targets = draw_targets(queries.labels, database.labels, seed=5) if choice.goal == "targeted" else None
        judge(choice, victim, queries, THREAT, 0, targets)
    return device.waits.total()


@pytest.mark.parametrize("name", WALKS)
def test_the_host_waits_a_few_times_a_step(name: str) -> None:
    assert waits(name, 12) - waits(name, 2) <= 10 * WAITS_A_STEP


def test_the_second_device_refuses_what_a_gpu_refuses() -> None:
    with second_device() as device:
        near, far = torch.arange(3.0), torch.arange(3.0).to(GPU)
        assert isinstance(far, OnGpu)
        assert far.device == GPU
        with pytest.raises(MixedDevicesError, match="aten::add got tensors of both devices"):
            far + near
        with pytest.raises(MixedDevicesError, match="aten::index"):
            near[torch.arange(2).to(GPU)]
        with pytest.raises(TypeError, match="numpy"):
            far.numpy()
        assert not device.waits
        assert far.sum().item() == 3
        assert torch.equal(far[far > 0].cpu(), torch.tensor([1.0, 2.0]))
        assert torch.tensor([1.0], device=GPU).device == torch.zeros(1, device=GPU).device == GPU
    assert device.waits == {"_local_scalar_dense": 1, "index": 1, "to the host": 1}


def test_a_gpu_of_a_number_is_the_current_one_until_a_call_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[object] = []
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")
    monkeypatch.setattr(torch, "use_deterministic_algorithms", lambda *given, **words: None)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 3)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    with reproducible(torch.device("cuda:1")):
        assert chosen == [torch.device("cuda:1")]
    with reproducible(torch.device("cuda")):
        assert chosen == [torch.device("cuda:1"), 3]
    assert chosen == [torch.device("cuda:1"), 3, 3]
