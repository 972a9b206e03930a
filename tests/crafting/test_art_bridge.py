from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from toys import make_toy, small_model

from hashbench.attacks.art_pgd import art_pgd
from hashbench.crafting.gradient_loop import descend
from hashbench.crafting.step_rules import constant
from hashbench.models.codes import center_code, encode
from hashbench.models.data import Queries, Victim
from hashbench.models.model import HashModel, binarize
from hashbench.registry.entries import attacks
from hashbench.registry.spec import Spec
from hashbench.threat import Threat

THREAT = Threat(0.1)


def moved_bits(victim: Victim, queries: Queries, images: torch.Tensor) -> torch.Tensor:
    clean = binarize(victim.model(queries.images))
    return (binarize(victim.model(images)) != clean).float().mean(1)


def center(victim: Victim, queries: Queries) -> torch.Tensor:
    return center_code(binarize(encode(victim.model, victim.train)), victim.train.labels, queries.labels)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_pgd_of_art_and_our_own_flip_the_same_share_of_bits(seed: int) -> None:
    victim, queries = make_toy(small_model(48, seed=seed))
    guide = center(victim, queries)
    start = THREAT.project(queries.images + THREAT.eps * queries.random(), queries.images)
    ours, _ = descend(
        start, queries.images, lambda images: (victim.model(images) * guide).mean(1), THREAT,
        steps=50, step_size=constant(0.01), keep_best=False,
    )  # fmt: skip
    theirs = art_pgd(victim, THREAT, steps=50, step_ratio=0.1)(queries)
    difference = moved_bits(victim, queries, ours).mean() - moved_bits(victim, queries, theirs).mean()
    assert abs(difference) <= 0.02


@pytest.mark.parametrize("name", ["art-fgm", "art-mim"])
def test_codes_whose_sum_is_not_positive_are_attacked_too(name: str) -> None:
    """ART's FGM divides class labels by their sum, and did nothing for half of all codes."""
    victim, queries = make_toy(small_model(48))
    images = attacks.choose(Spec(name)).call(victim, THREAT)(queries)
    guide = center(victim, queries)
    assert (guide.sum(1) <= 0).any()
    before, after = ((victim.model(i) * guide).mean(1) for i in (queries.images, images))
    assert (after < before).all()


def test_momentum_takes_more_images_than_arts_batch() -> None:
    victim, queries = make_toy(small_model())
    many = Queries(queries.images.repeat(5, 1, 1, 1), queries.labels.repeat(5, 1), torch.arange(40))
    images = attacks.choose(Spec.parse("art-mim:steps=3")).call(victim, THREAT)(many)
    assert len(images) == 40


def test_random_attacks_of_art_restore_numpys_state() -> None:
    victim, queries = make_toy(small_model())
    craft = attacks.choose(Spec.parse("art-square:steps=3")).call(victim, THREAT)
    np.random.seed(7)  # noqa: NPY002
    expected = np.random.rand()  # noqa: NPY002
    np.random.seed(7)  # noqa: NPY002
    craft(queries)
    assert np.random.rand() == expected  # noqa: NPY002


def test_hopskipjump_keeps_a_query_that_has_no_other_class() -> None:
    victim, queries = make_toy(small_model())
    victim.train.labels[:] = torch.tensor([1.0, 0, 0, 0])
    craft = attacks.choose(Spec.parse("art-hopskipjump:steps=1,evaluations=4")).call(victim, THREAT)
    assert torch.equal(craft(queries), queries.images)


class Noisy(nn.Module):
    """A network that draws random numbers whenever it encodes, so that most decisions differ from the last ones."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.network(images + torch.randn_like(images))
        return logits


def test_auto_pgd_attacks_all_queries_of_a_model_that_decides_at_random() -> None:
    victim, queries = make_toy(HashModel(Noisy(small_model().network), 12).eval())
    images = attacks.choose(Spec("art-auto-pgd", {"steps": "3"})).call(victim, THREAT)(queries)
    THREAT.check(images, queries.images)
    assert ((images - queries.images).flatten(1).abs().amax(1) > 0.05).all()


@pytest.mark.parametrize("area", ["0.8", "0.9", "1"])
def test_squares_may_be_as_large_as_the_image(area: str) -> None:
    victim, queries = make_toy(small_model())
    images = attacks.choose(Spec("art-square", {"steps": "3", "area": area})).call(victim, THREAT)(queries)
    THREAT.check(images, queries.images)


def test_importing_art_leaves_no_files_at_home_and_no_trace(tmp_path: Path) -> None:
    code = "import os, hashbench.crafting.art_bridge; print(os.environ['HOME'])"
    environment = {**os.environ, "HOME": str(tmp_path)}
    found = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == str(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_art_is_imported_only_when_asked_for() -> None:
    code = (
        "import sys; from hashbench.registry import entries; "
        "entries.attacks.choose(entries.Spec('art-pgd')); print('art' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
