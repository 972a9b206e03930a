"""Attacks of 2,000 iterations whose queries leave at their goal, beside the same attacks in which nobody leaves.

On an undefended model of Fashion-MNIST whose budget, 32/255, is large for images of 28 pixels, as 8/255 is for the
224 pixels of the papers.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from hashbench.crafting.targets import draw_targets
from hashbench.datasets.fashion_mnist import DEBIAN, fashion_mnist
from hashbench.evaluation.judge import Numbers, judge, make_victim
from hashbench.models.codes import encode
from hashbench.models.data import ImageSet, Victim
from hashbench.models.model import HashModel
from hashbench.registry import entries
from hashbench.registry.spec import Spec
from hashbench.threat import Threat
from hashbench.training.recipe import Recipe
from hashbench.training.undefended import clean_training

STEPS, QUERIES, BITS = 2000, 20, 32


@dataclass
class Scene:
    """An undefended model, queries, and targets that share no label with them."""

    victim: Victim
    queries: ImageSet
    targets: torch.Tensor

    def judged(self, name: str) -> Numbers:
        choice = entries.attacks.choose(Spec.parse(f"{name}:preset=paper"))
        targets = self.targets if choice.goal == "targeted" else None
        return judge(choice, self.victim, self.queries, Threat(32 / 255), 0, targets).numbers


@pytest.fixture(scope="module")
def scene() -> Scene:
    split = fashion_mnist(train=2000, database=4000, queries=QUERIES)
    torch.manual_seed(0)
    network = entries.backbones.choose(Spec("cnn")).call(BITS, split.channels, split.size)
    model = HashModel(network, BITS)
    method = entries.methods.choose(Spec("csq")).call(encode(model, split.train), split.train.labels)
    trained = clean_training(model, split.train, method, recipe=Recipe(epochs=20))
    targets = draw_targets(split.queries.labels, split.database.labels, 0)
    return Scene(make_victim(trained, split.train, split.database), split.queries, targets)


def nobody(codes: torch.Tensor, *_: object) -> torch.Tensor:
    return torch.zeros(len(codes), dtype=torch.bool)


@pytest.mark.usefixtures("measuring")
@pytest.mark.skipif(not DEBIAN.is_dir(), reason="needs Debian's package dataset-fashion-mnist")
@pytest.mark.parametrize(("name", "number"), [("hag", "map"), ("dhta", "t_map")])
def test_passes(
    benchmark: BenchmarkFixture, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, name: str, number: str
) -> None:
    scene: Scene = request.getfixturevalue("scene")
    leaving: Numbers = benchmark.pedantic(scene.judged, (name,), rounds=1)  # type: ignore[no-untyped-call]
    monkeypatch.setattr("hashbench.crafting.search.reached", nobody)
    monkeypatch.setattr("hashbench.attacks.hag.reached", nobody)
    monkeypatch.setattr("hashbench.attacks.hag.NEAR_FLOOR", -1.0)
    staying = scene.judged(name)
    ratio = leaving["forwards"] / staying["forwards"]
    benchmark.extra_info |= {
        "plain": "nobody leaves", "limit": "1/4", "ratio": ratio, "passes": leaving["forwards"],
        f"{number} leaving and staying": [leaving[number], staying[number]],
    }  # fmt: skip
    gain = staying[number] - leaving[number]
    assert (gain if number == "map" else -gain) >= -1e-3, "the attack that leaves early is no weaker"
    assert staying["forwards"] > STEPS
    assert ratio <= 1 / 4
