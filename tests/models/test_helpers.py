from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from toys import make_toy, random_images, small_model

from hashbench.errors import BadParameter, UnknownName
from hashbench.models.data import RetrievalSplit, split_of_tensors
from hashbench.models.helpers import train_anew
from hashbench.models.model import sealed
from hashbench.registry import entries
from hashbench.registry.entries import Choice
from hashbench.registry.entry import Entry
from hashbench.registry.parameters import format_value
from hashbench.registry.spec import Spec
from hashbench.running.cell import Cell, Subject, plan
from hashbench.running.runner import run
from hashbench.running.store import Result, Store
from hashbench.threat import Threat
from hashbench.training.undefended import clean_training


def split(labels_of_queries: torch.Tensor | None = None) -> RetrievalSplit:
    database, queries = random_images(60, seed=4), random_images(8, seed=2)
    if labels_of_queries is not None:
        queries.labels[:] = labels_of_queries
    return split_of_tensors(
        train=random_images(40, seed=4),
        queries=queries,
        validation=random_images(8, seed=6),
        database=database,
        eps=0.1,
    )


def cells(attack: str, *, data: RetrievalSplit | None = None, seed: int = 0) -> list[Cell]:
    choices = entries.backbones.choose(Spec.parse("cnn:width=4")), entries.methods.choose(Spec("csq"))
    dataset: Choice[Any] = Choice(Entry("toy", split), {})
    training = entries.choose_clean(clean_training, "epochs=1")
    subject = Subject(dataset, data or split(), *choices, training, 16)
    undefended = entries.defenses.choose(Spec("none"))
    return plan(subject, Threat(0.1), [seed], [undefended], [entries.attacks.choose(Spec.parse(attack))])


def measure(attack: str, store: Path, **words: Any) -> Result:
    (result,) = run(cells(attack, **words), Store(store), torch.device("cpu"))
    return result


@pytest.mark.parametrize("attack", ["tha:preset=quick", "pros-gan:preset=quick", "nag:preset=quick"])
def test_a_resumed_run_takes_the_kept_helper_and_gives_the_same_numbers(attack: str, tmp_path: Path) -> None:
    first = measure(attack, tmp_path / "a")
    assert first.status == "valid", first.reason
    kept = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "a" / "models").iterdir()}
    shutil.rmtree(tmp_path / "a" / "cells")
    again = measure(attack, tmp_path / "a")
    elsewhere = measure(attack, tmp_path / "b")
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "a" / "models").iterdir()} == kept
    assert first.numbers == again.numbers == elsewhere.numbers
    assert first.arrays_digest == again.arrays_digest == elsewhere.arrays_digest


def test_targeted_attacks_share_their_targets_and_carry_their_metrics(tmp_path: Path) -> None:
    found = [measure(f"{name}:preset=quick", tmp_path) for name in ("p2p", "dhta")]
    assert found[0].numbers["t_map_clean"] == found[1].numbers["t_map_clean"]
    assert {"t_map", "t_map_low", "t_map_high", "t_chance_map", "success_rate"} <= found[0].numbers.keys()
    assert found[0].numbers["map_own"] == found[0].numbers["map"]
    assert found[0].identity["goal"] == "targeted"


def test_a_data_set_without_disjoint_targets_says_so_in_one_line(tmp_path: Path) -> None:
    result = measure("dhta:preset=quick", tmp_path, data=split(torch.ones(8, 4)))
    assert result.status == "invalid"
    assert "8 of 8 queries have no target" in result.reason
    assert "\n" not in result.reason


@pytest.mark.parametrize(("attack", "goal"), [("pgd-hamming", "untargeted"), ("dhta", "targeted")])
def test_transfer_has_the_goal_of_its_inner_attack(attack: str, goal: str, tmp_path: Path) -> None:
    result = measure(f"transfer:attack={attack},epochs=1", tmp_path)
    assert result.identity["goal"] == goal
    assert result.identity["access"] == "transfer"
    assert ("t_map" in result.numbers) == (goal == "targeted")
    assert result.numbers["backwards"] == 0


def test_transfer_refuses_what_is_no_white_box_attack() -> None:
    with pytest.raises(UnknownName, match="no attack is named 'pgd-hammingg'"):
        entries.attacks.choose(Spec.parse("transfer:attack=pgd-hammingg"))
    with pytest.raises(BadParameter, match="white access"):
        entries.attacks.choose(Spec.parse("transfer:attack=noise"))


def test_a_preset_stands_for_its_values_and_given_ones_win() -> None:
    assert entries.attacks.choose(Spec.parse("dhta:preset=paper")).params["steps"] == 2000
    assert entries.attacks.choose(Spec.parse("dhta:preset=paper,steps=7")).params["steps"] == 7
    assert entries.attacks.choose(Spec.parse("dhta:preset=default")).label == "dhta"
    with pytest.raises(BadParameter, match="no preset 'fast'"):
        entries.attacks.choose(Spec.parse("dhta:preset=fast"))


def test_a_preset_of_a_defense_stands_for_the_values_written_out() -> None:
    written = "learning_rate=0.02,weight=3,reach=1.5,cutmix=0.25,optimiser=adamw,weight_decay=0.1"
    for name in ("cgat", "saat"):
        strong, same = (entries.defenses.choose(Spec.parse(f"{name}:{words}")) for words in ("preset=strong", written))
        assert strong.label == same.label
        assert strong.params == same.params
        assert strong.versions("defense") == same.versions("defense")


def test_presets_have_values_that_their_parameters_can_take() -> None:
    for registry in (entries.attacks, entries.defenses):
        for entry in registry:
            for name, values in entry.presets.items():
                words = {key: format_value(value) for key, value in values.items()}
                written, named = (registry.choose(Spec(entry.name, given)) for given in (words, {"preset": name}))
                assert written.params == named.params, (entry.name, name)


def test_a_sealed_model_answers_with_codes_and_has_no_gradient_or_weights() -> None:
    victim, queries = make_toy(small_model())
    stranger = sealed(victim.model)
    images = queries.images.clone().requires_grad_()
    codes = stranger(images)
    assert not codes.requires_grad
    assert set(codes.flatten().tolist()) <= {-1.0, 1.0}
    assert torch.equal(codes >= 0, victim.model(images) >= 0)
    assert sum(weight.numel() for weight in stranger.parameters()) == 0


def test_training_a_helper_does_not_move_the_random_state() -> None:
    torch.manual_seed(1)
    wanted = torch.rand(3)
    torch.manual_seed(1)
    first = train_anew("noise", {}, lambda: {"made": torch.rand(2)})
    assert torch.equal(torch.rand(3), wanted)
    assert torch.equal(first["made"], train_anew("noise", {}, lambda: {"made": torch.rand(2)})["made"])
