"""Which certificates are wanted, made again and contradicted."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from toy_results import result

from hashbench.running import certificates as module
from hashbench.running.certificates import TARGETED, UNTARGETED, WantedCertificate, contradiction, is_made
from hashbench.running.migration import Carried


def test_the_first_parts_are_small() -> None:
    assert [len(part) for part in module._parts(100)] == [2, 8, 32, 32, 26]
    assert torch.equal(torch.cat(list(module._parts(100))), torch.arange(100))
    assert [len(part) for part in module._parts(2)] == [2]
    assert list(module._parts(0)) == []


def test_a_certificate_is_made_again_for_other_weights_or_with_twice_the_time() -> None:
    cell: Any = None
    wanted = WantedCertificate(cell, UNTARGETED, "m", 100.0)
    made = replace(result("a", "none", 0.5), numbers={"model_digest": "m"}, host={})
    assert not is_made(None, wanted)
    assert is_made(made, wanted)
    assert not is_made(replace(made, numbers={"model_digest": "n"}), wanted)
    assert is_made(replace(made, host={"limit_seconds": 50.1}), wanted)
    assert not is_made(replace(made, host={"limit_seconds": 50.0}), wanted)


FOUND = {"certified": np.array([0.5, np.nan, 0.3]), "free_bits": np.array([1, 8, 0])}


@pytest.mark.parametrize(
    ("low", "moved", "said"),
    [
        ([0.5, np.nan, 0.3], [1, 8, 0], ""),
        ([0.5 - 5e-10, np.nan, 0.3], [1, 8, 0], ""),
        ([0.5, np.nan, 0.29], [1, 8, 0], "query 2: an AP of 0.290000 is below its certificate, 0.300000"),
        ([0.5, np.nan, 0.3], [2, 8, 0], "query 0: 2 bits changed, its certificate allows 1"),
        ([0.4, np.nan, 0.2], [2, 8, 1], "query 0: an AP of 0.400000 is below its certificate, 0.500000"),
    ],
)
def test_what_goes_beyond_a_certificate_is_said(low: list[float], moved: list[int], said: str) -> None:
    cell = {"low": np.array(low), "bits_moved": np.array(moved) / 8, "target_average_precision": 1 - np.array(low)}
    assert contradiction(cell, 8, FOUND, UNTARGETED) == said
    above = {**FOUND, "certified": 1 - FOUND["certified"]}
    told = said.replace("is below its certificate", "is above what its certificate allows")
    for one, other in (("0.290000", "0.710000"), ("0.400000", "0.600000"), ("0.300000", "0.700000")):
        told = told.replace(one, other)
    assert contradiction(cell, 8, above, TARGETED) == told


def test_a_contradicted_cell_is_invalid_and_others_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    cells = [
        replace(one, numbers={**one.numbers, "model_digest": "m"})
        for one in (result("a", "hag", 0.5), result("a", "pgd", 0.5), result("b", "hag", 0.5),
                    result("a", "noise", 0.5, attacker="oblivious"))
    ]  # fmt: skip
    proof = replace(cells[0], key="proof")
    low = {cells[0].key: 0.1, cells[1].key: 0.5, cells[2].key: 0.1, cells[3].key: 0.1}
    asked: list[str] = []
    monkeypatch.setattr(module, "certificate_key", lambda identity, goal: identity["defense"])

    def certificate(key: str) -> Any:
        asked.append(key)
        return proof if key == "a" else None

    store: Any = SimpleNamespace(
        certificate=certificate,
        certificate_arrays=lambda stored: {"certified": np.array([0.5]), "free_bits": np.array([32])},
        arrays=lambda r: {"low": np.array([low[r.key]]), "bits_moved": np.array([0.5])},
    )
    held = module.held_against(cells, store)
    assert [one.status for one in held] == ["invalid", "valid", "valid", "valid"]
    assert held[0].reason == (
        "query 0: an AP of 0.100000 is below its certificate, 0.500000; the attack, its audit or the bound has an "
        "error, which is worth a report"
    )
    assert held[0].numbers == {}
    assert held[1:] == cells[1:]
    assert asked == ["a", "b"], "each is read once"
    other = replace(cells[0], numbers={"model_digest": "n"})
    assert module.certificate_of(other, store) is None, "of other weights"
    assert module.certificate_of(replace(cells[0], status="invalid"), store) is None
    assert module.certificate_of(cells[0], store) is not None


def test_each_goal_of_a_model_wants_a_certificate_of_as_long_as_all_its_attacks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def cell(attack: str, defense: str, goal: str = UNTARGETED, attacker: str = "adaptive") -> Any:
        return SimpleNamespace(
            key=f"{attack} {defense}",
            attacker=attacker,
            identity={"defense": defense},
            attack=SimpleNamespace(goal=goal),
        )

    monkeypatch.setattr(module, "certificate_key", lambda identity, goal: f"{identity['defense']} {goal}")
    cells = [cell("a", "x"), cell("b", "x"), cell("c", "x", TARGETED), cell("d", "y"), cell("e", "z"),
             cell("f", "x", attacker="oblivious")]  # fmt: skip
    seconds = {"a x": 50.0, "b x": 30.0, "c x": 7.0, "d y": None, "f x": 1000.0}
    results = [
        replace(result("x", "hag", 0.5), key=key, numbers={"model_digest": key[-1]}, host={"attack_seconds": took})
        for key, took in seconds.items()
    ]
    wanted = module.wanted_certificates(cells, [*results, replace(results[0], key="e z", status="invalid")])
    assert [(one.goal, one.model_digest, one.seconds) for one in wanted] == [
        (UNTARGETED, "x", 87.0), (TARGETED, "x", 87.0), (UNTARGETED, "y", 60.0),
    ]  # fmt: skip


def test_what_was_carried_over_is_counted() -> None:
    assert str(Carried({"a": "b", "c": "d"}, {"e": "f"}, {})) == "2 cells, 0 models, 1 probes"
