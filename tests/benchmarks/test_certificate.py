"""The certificate of 300 queries of a `cnn` beside the attack set `standard` on the same queries."""

from __future__ import annotations

import time

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from hashbench.certification.certify import Certificate, certify
from hashbench.datasets.digits import digits
from hashbench.evaluation.judge import judge, make_victim
from hashbench.models.codes import encode
from hashbench.models.model import HashModel
from hashbench.registry import entries
from hashbench.registry.spec import Spec
from hashbench.threat import Threat
from hashbench.training.recipe import Recipe
from hashbench.training.undefended import clean_training

BITS, THREAT = 32, Threat(32 / 255)


@pytest.mark.usefixtures("measuring")
def test_a_certificate_takes_less_time_than_the_attacks(benchmark: BenchmarkFixture) -> None:
    """The undefended model is the slowest to certify: no bit of it is fixed by intervals alone."""
    split = digits()
    torch.manual_seed(0)
    model = HashModel(entries.backbones.choose(Spec("cnn")).call(BITS, split.channels, split.size), BITS)
    method = entries.methods.choose(Spec("csq")).call(encode(model, split.train), split.train.labels)
    trained = clean_training(model, split.train, method, recipe=Recipe(epochs=20))
    victim = make_victim(trained, split.train, split.database)
    images, labels = split.queries.images[torch.arange(len(split.queries))], split.queries.labels

    def certified() -> tuple[Certificate, float]:
        began = time.perf_counter()
        made = certify(trained, images, labels, victim.gallery.codes, victim.gallery.labels, THREAT.eps)
        return made, time.perf_counter() - began

    certified()  # compiles what counts items
    found, own = benchmark.pedantic(certified, rounds=1)  # type: ignore[no-untyped-call]
    began = time.perf_counter()
    attacked = judge(entries.attacks.choose(Spec("standard")), victim, split.queries, THREAT, 0)
    seconds = time.perf_counter() - began
    ratio = own / seconds
    benchmark.extra_info |= {
        "plain": "the attack set standard", "limit": "1", "goal": 1, "ratio": ratio, "seconds of the attacks": seconds,
        "certified and attacked": [found.map, float(attacked.numbers["map"])],
    }  # fmt: skip
    assert (found.precision <= attacked.arrays["low"] + 1e-9).all()
    assert ratio < 1
