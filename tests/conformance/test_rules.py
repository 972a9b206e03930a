"""`hashbench check`: bad plugins fail on their own line, good ones on none."""

from __future__ import annotations

from pathlib import Path

import pytest
from command import hashbench

from hashbench.conformance import rules
from hashbench.conformance.attacks import check_attack
from hashbench.conformance.defenses import check_defense
from hashbench.conformance.rules import RuleLine
from hashbench.registry import entries
from hashbench.registry.spec import Spec

BAD = Path(__file__).parent / "bad_plugins"
OWN_LINE = {
    "dropout_left_on": rules.MODES,
    "unseeded_noise": rules.SEED,
    "gradient_cut": rules.GRADIENT,
    "collapsed_codes": rules.CODES,
    "peeks_at_query_labels": rules.LABELS,
    "loses_state_on_save": rules.ROUND_TRIP,
    "exceeds_the_budget": rules.BUDGET,
    "writes_to_the_model": rules.WRITES,
}


pytestmark = pytest.mark.usefixtures("registries")


def check_plugin(path: Path) -> list[RuleLine]:
    entries.load_plugin(path)
    name = f"bad-{path.stem.replace('_', '-')}"
    if name in {entry.name for entry in entries.attacks}:
        return check_attack(rules.choose(entries.attacks, Spec(name)))
    return check_defense(rules.choose(entries.defenses, Spec(name)))


@pytest.mark.parametrize("name", sorted(OWN_LINE))
def test_a_bad_plugin_fails_on_its_own_line_only(name: str) -> None:
    lines = check_plugin(BAD / f"{name}.py")
    assert [line.rule for line in lines if line.passed is False] == [OWN_LINE[name]]
    (failed,) = (line for line in lines if line.passed is False)
    assert failed.reason.endswith(rules.REPAIRS[failed.rule])


def test_every_bad_plugin_is_tried() -> None:
    assert {path.stem for path in BAD.glob("*.py")} == set(OWN_LINE)


@pytest.mark.parametrize("name", ["cgat", "atrdh"])
def test_good_defenses_pass_every_line(name: str) -> None:
    lines = check_defense(rules.choose(entries.defenses, Spec(name)))
    assert [str(line) for line in lines if line.passed is False] == []
    assert [line.rule for line in lines if line.passed is None] == [rules.BUDGET]


@pytest.mark.parametrize("name", ["pgd-hamming"])
def test_good_attacks_pass_every_line(name: str) -> None:
    lines = check_attack(rules.choose(entries.attacks, Spec(name)))
    assert [str(line) for line in lines if line.passed is False] == []
    assert [line.rule for line in lines if line.passed is None] == [rules.LABELS]


DEFENSE = """
import copy

import numpy as np
import torch
from torch import nn

from hashbench import HashModel, ImageSet, Method, Threat, defense
from hashbench.registry import entries

class Layer(nn.Module):
    def forward(self, images):
        {layer}

@defense("layer", trains=False)
def layer(model: HashModel, train: ImageSet, method: Method, threat: Threat) -> HashModel:
    '''A layer before the network.'''
    {first}
    return HashModel(nn.Sequential(Layer(), copy.deepcopy(model.network)), model.bits).eval()
"""
LAYERS = [
    ("return (images + 0.02 * torch.randn(images.shape)).clamp(0, 1)", "pass", []),
    ("return images + 0.02 * float(np.random.rand())", "pass", [rules.SEED]),
    ("return images * torch.linspace(0.5, 1, len(images))[:, None, None, None]", "pass", [rules.LABELS]),
    ("return images.detach()", "pass", [rules.GRADIENT]),
    ("return images", "entries.datasets['digits'].function()", [rules.LABELS]),
    ("return images\n\nHELD = entries.datasets['digits'].function().queries", "pass", [rules.LABELS]),
    ("return images", "model.requires_grad_(False)", [rules.MODES]),
    ("return images", "model.train()", [rules.MODES]),
    ("return images.view(-1, 1, 8, 8)", "pass", [rules.SIZES]),
    ("return images", "train.images.mul_(0.99)", [rules.WRITES]),
]
ATTACK = """
import torch

from hashbench import Craft, Queries, Threat, Victim, attack

@attack("own")
def own(victim: Victim, threat: Threat) -> Craft:
    '''An attack.'''
    def craft(queries: Queries):
        {body}
        victim.model(queries.images)
        return threat.project(queries.images + {step}, queries.images)
    return craft
"""
ATTACKS = [
    ("pass", "queries.random()", []),
    ("pass", "torch.rand(())", []),
    ("pass", "0", [rules.MOVES]),
    ("victim.model.train()", "1", [rules.MODES, rules.WRITES]),  # batch norm's buffers move
    ("victim.model.requires_grad_(True)", "1", [rules.MODES]),
    ("next(victim.model.parameters()).data.add_(1)", "1", [rules.WRITES]),
    ("victim.gallery.codes.neg_()", "queries.random()", [rules.WRITES]),
    ("victim.train.labels.numpy()[:] = 0", "queries.random()", [rules.WRITES]),
    ("queries.images.add_(threat.eps)", "1", [rules.BUDGET]),
    ("torch.seed()", "torch.rand(queries.images.shape)", [rules.SEED]),
]


@pytest.mark.parametrize(("layer", "first", "broken"), LAYERS)
def test_a_layer_before_the_network_fails_where_it_should(
    layer: str, first: str, broken: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "layer.py"
    path.write_text(DEFENSE.format(layer=layer, first=first))
    entries.load_plugin(path)
    lines = check_defense(rules.choose(entries.defenses, Spec("layer")))
    assert [line.rule for line in lines if line.passed is False] == broken


@pytest.mark.parametrize(("body", "step", "broken"), ATTACKS)
def test_an_attack_fails_where_it_should(body: str, step: str, broken: list[str], tmp_path: Path) -> None:
    path = tmp_path / "own.py"
    path.write_text(ATTACK.format(body=body, step=step))
    entries.load_plugin(path)
    lines = check_attack(rules.choose(entries.attacks, Spec("own")))
    assert [line.rule for line in lines if line.passed is False] == broken


RAISES = """
from hashbench import HashModel, ImageSet, Method, Threat, defense

@defense("raises", trains=False)
def raises(model: HashModel, train: ImageSet, method: Method, threat: Threat) -> HashModel:
    '''Raise.'''
    return model.nothing
"""
METHOD = """
from hashbench import defense, method

@method("own")
def own(codes, labels):
    '''A method.'''
"""


def test_a_file_is_checked_whole_and_a_failure_ends_with_1(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "mine.py"
    path.write_text(RAISES)
    found = hashbench(capsys, monkeypatch, "check", path)
    assert found.code == 1
    assert found.out.startswith("defense raises\n  FAIL  runs: defense raises raised AttributeError at")


def test_a_name_from_a_plugin_passes_with_0(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = hashbench(capsys, monkeypatch, "check", "noise", "--plugin", BAD / "gradient_cut.py")
    assert found.code == 0
    assert "attack noise\n  pass  runs\n" in found.out


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("cgta", "no attack or defense is named 'cgta'; did you mean 'cgat'?"),
        ("cgat:epoch=1", "defense 'cgat' has no parameter 'epoch'; did you mean 'epochs'?"),
        ("nowhere.py", "there is no plugin file nowhere.py"),
        ("checkpoint", "defense 'checkpoint' needs a file"),
    ],
)
def test_what_can_not_be_checked_ends_with_2(
    target: str, message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = hashbench(capsys, monkeypatch, "check", target)
    assert found.code == 2
    assert message in found.err


def test_a_file_without_attack_or_defense_is_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "mine.py"
    path.write_text(METHOD)
    found = hashbench(capsys, monkeypatch, "check", path)
    assert found.code == 2
    assert "registers no attack or defense" in found.err
