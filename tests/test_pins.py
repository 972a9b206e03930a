"""No result moves unseen: canaries are computed anew and compared with their pins."""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path

import pin as pin_command
import pin_files
import pytest
import torch
from canaries import Canary
from pin_files import KINDS, Pin, PinFile

from hashbench.types import Codes, Scores

CANARIES = {kind: {canary.name: canary for canary in listed()} for kind, listed in KINDS.items()}
EVERY = [(kind, name) for kind, known in CANARIES.items() for name in known]
read = functools.cache(pin_files.read)


def check(kind: str, name: str) -> str:
    return pin_files.check(kind, CANARIES[kind][name], read(kind))


@pytest.mark.parametrize(("kind", "name"), EVERY, ids=[f"{kind}:{name}" for kind, name in EVERY])
def test_digits_are_those_of_the_pin(kind: str, name: str) -> None:
    problem = check(kind, name)
    if problem:
        pytest.fail(problem, pytrace=False)


def fifth(codes: Codes, others: Codes) -> Scores:
    """The distance of trades-hamming, but for a divisor of 5 in the place of 4."""
    return ((codes - others) ** 2).mean(1) / 5


@pytest.mark.parametrize("kind", KINDS)
def test_every_pin_has_an_entry(kind: str) -> None:
    problems = pin_files.unknown(kind, list(CANARIES[kind].values()), read(kind))
    if problems:
        pytest.fail("; ".join(problems), pytrace=False)


@pytest.mark.parametrize(
    ("kind", "name", "constant", "value", "message"),
    [
        ("attacks", "sdha", "attacks.sdha.TIE", 100.0, "raise version=1 to 2 in attacks/sdha.py"),
        ("attacks", "square-hamming", "crafting.square_moves.HALVINGS", (), "in attacks/square_hamming.py"),
        ("attacks", "hag", "attacks.hag.NEAR_FLOOR", 0.5, "raise version=1 to 2 in attacks/hag.py"),
        ("defenses", "trades-hamming", "defenses.trades_hamming.distance", fifth, "in defenses/trades_hamming.py"),
        ("methods", "dch", "methods.dch.NEAREST", 0.9, "raise version=1 to 2 in hashbench/methods/dch.py"),
        ("backbones", "alexnet", "backbones.torchvision_models.SPREAD", 0.02, "in hashbench/backbones/torchvision_mod"),
        ("datasets", "digits", "datasets.digits.QUERIES", 299, "raise version=1 to 2 in hashbench/datasets/digits.py"),
        ("protocol", "judge", "evaluation.judge.RADIUS", 3, "raise PROTOCOL_VERSION from 1 to 2 in hashbench/evaluat"),
        ("protocol", "judge", "evaluation.judge.TOP", 999, "PROTOCOL_VERSION"),
        ("protocol", "training-adam", "training.recipe.GRADIENT_NORM", 0.5, "raise TRAINING_VERSION from 1 to 2 in"),
        ("protocol", "probe", "evaluation.probe.STEPS", 19, "raise PROBE_VERSION from 2 to 3 in"),
    ],
)
def test_a_changed_constant_fails_its_pin_and_the_version_to_raise_is_named(
    kind: str, name: str, constant: str, value: object, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"hashbench.{constant}", value)
    problem = check(kind, name)
    assert message in problem
    assert f"{kind}:{name}: " in problem
    assert " moved from " in problem
    assert problem.endswith("then pin anew: make pins")


def test_other_circumstances_move_nothing() -> None:
    """Another random state, another default precision, other canaries before."""
    before = torch.get_default_dtype(), torch.get_num_threads()
    for seed, (kind, name) in enumerate([("attacks", "uap-hamming"), ("methods", "csq-c"), ("defenses", "atrdh")]):
        torch.manual_seed(seed)
        assert not check(kind, name)
        state = torch.get_rng_state()
        assert not check(kind, name)
        assert torch.equal(torch.get_rng_state(), state)
    assert (torch.get_default_dtype(), torch.get_num_threads()) == before


@pytest.fixture
def canary() -> Canary:
    return Canary("mine", 1, "raise version=1 to 2 in attacks/mine.py", lambda: {"l2": [1.0, 2.0]}, {"training": "1"})


PIN = Pin(1, {"training": "1"}, {"l2": [1.0, 2.0]})


def verdict(canary: Canary, pin: Pin | None, *, exactly: bool = True) -> str:
    return pin_files.verdict("attacks", canary, pin, canary.compute(), exactly=exactly)


def test_each_verdict_says_what_to_do(canary: Canary) -> None:
    assert verdict(canary, PIN) == ""
    assert verdict(canary, None) == "attacks:mine has no pin; pin it: make pins"
    old = replace(PIN, digits={"l2": [1.0, 2.5]})
    assert verdict(canary, old) == (
        "attacks:mine: l2[1] moved from 2.5 to 2.0. If results are meant to change, "
        "raise version=1 to 2 in attacks/mine.py, then pin anew: make pins"
    )
    assert verdict(replace(canary, version=2), PIN) == (
        "attacks:mine has version 2, its pin is of version 1; pin anew: make pins"
    )
    of_new_training = replace(canary, others={"training": "2"})
    assert verdict(of_new_training, PIN) == ""
    assert verdict(of_new_training, old) == (
        "attacks:mine: l2[1] moved from 2.5 to 2.0, as may be with training 2 instead of 1; pin anew: make pins"
    )
    assert "the numbers codes, l2 are in one" in verdict(canary, replace(PIN, digits={"codes": [1.0]}))
    assert "l2[2] moved from 3.0 to None" in verdict(canary, replace(PIN, digits={"l2": [1.0, 2.0, 3.0]}))
    gone = PinFile({}, {"gone": PIN, "mine": PIN})
    assert pin_files.unknown("attacks", [canary], gone) == ["attacks:gone has a pin and no entry; remove it: make pins"]


def test_another_machine_may_round_otherwise(canary: Canary) -> None:
    near, far = (replace(PIN, digits={"l2": [1.0, 2.0 + change]}) for change in (1e-6, 3e-6))
    assert verdict(canary, near)
    assert not verdict(canary, near, exactly=False)
    assert verdict(canary, far, exactly=False)


@pytest.fixture
def folder(canary: Canary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    other = replace(canary, name="other")
    monkeypatch.setitem(KINDS, "attacks", lambda: [canary, other])
    monkeypatch.setattr(pin_files, "PINS", tmp_path)
    return tmp_path


def pin(*words: str, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr("sys.argv", ["pin.py", *words])
    with pytest.raises(SystemExit) as ended:
        pin_command.main()
    return int(ended.value.code or 0)


def test_the_command_pins_what_is_new_and_refuses_what_moved(
    canary: Canary, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = functools.partial(pin, monkeypatch=monkeypatch)
    assert run("attacks:mine") == 0
    assert capsys.readouterr().out == "pinned attacks:mine, version 1\n"
    assert list(pin_files.read("attacks").pins) == ["mine"]
    assert run("attacks") == 0
    written = pin_files.read("attacks")
    assert written == PinFile(pin_files.this_machine(), {"mine": PIN, "other": PIN})

    moved = replace(canary, compute=lambda: {"l2": [1.0, 3.0]})
    monkeypatch.setitem(KINDS, "attacks", lambda: [moved])
    assert run("attacks") == 1
    said = capsys.readouterr()
    assert "refused: attacks:mine: l2[1] moved from 2.0 to 3.0. If results" in said.err
    assert "removed attacks:other" in said.out
    assert pin_files.read("attacks").pins == {"mine": PIN}

    monkeypatch.setitem(KINDS, "attacks", lambda: [replace(moved, version=2)])
    assert run("attacks") == 0
    assert pin_files.read("attacks").pins["mine"] == Pin(2, PIN.others, {"l2": [1.0, 3.0]})
    monkeypatch.setitem(KINDS, "attacks", lambda: [replace(canary, version=2)])
    assert run("attacks") == 1
    assert run("--force", "attacks") == 0
    assert pin_files.read("attacks").pins["mine"].digits == PIN.digits


def test_pins_of_several_machines_are_compared_to_six_digits(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert pin("attacks:mine", monkeypatch=monkeypatch) == 0
    monkeypatch.setattr(pin_files, "this_machine", lambda: {"processor": "another"})
    assert pin("attacks:other", monkeypatch=monkeypatch) == 0
    assert pin_files.read("attacks").machine == {}
