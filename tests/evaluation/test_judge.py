from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from toys import make_toy, random_images, small_model

from hashbench.errors import BadOutput, CodeRaised, ThreatViolation
from hashbench.evaluation.corrupted import corrupted_precision
from hashbench.evaluation.judge import PATCH_SIDE, audited_codes, judge, make_victim
from hashbench.metrics.score import retrieval
from hashbench.models.codes import bit_entropy, encode
from hashbench.models.data import Gallery, ImageSet, Queries, Victim
from hashbench.models.model import HashModel, binarize
from hashbench.registry.entries import Choice, attacks
from hashbench.registry.entry import Entry
from hashbench.registry.protocols import Attack, Craft
from hashbench.registry.spec import Spec
from hashbench.threat import Threat
from hashbench.types import Images


def test_the_clean_column_is_the_score_of_the_clean_codes() -> None:
    victim, _ = make_toy(small_model())
    queries = random_images(20, seed=5)
    found = judge(attacks.choose(Spec("none")), victim, queries, Threat(0.1), 0)
    wanted = retrieval(encode(victim.model, queries), queries.labels, victim.gallery.codes, victim.gallery.labels)
    assert found.numbers["map"] == wanted.map
    assert found.numbers["map_low"] == wanted.map_low
    assert found.numbers["chance_map"] == wanted.chance_map
    assert found.numbers["bits_moved"] == found.numbers["linf_max"] == found.numbers["forwards"] == 0
    np.testing.assert_array_equal(found.arrays["average_precision"], wanted.average_precision)
    assert found.arrays["items"].sum() == 20 * 60


def test_an_attack_is_audited_and_its_passes_counted() -> None:
    victim, _ = make_toy(small_model())
    queries = random_images(20, seed=5)
    attack = attacks.choose(Spec.parse("pgd-hamming:steps=3,restarts=2"))
    clean, found = (
        judge(choice, victim, queries, Threat(0.2), 0).numbers for choice in (attacks.choose(Spec("none")), attack)
    )
    assert found["map"] < clean["map"]
    assert 0 < found["bits_moved"] < 1
    assert 0.19 < found["linf_max"] <= 0.2 + 1e-6
    assert (found["forwards"], found["backwards"]) == (8, 6)


def test_an_image_a_little_outside_of_the_l2_ball_ends_its_cell() -> None:
    victim, _ = make_toy(small_model())
    queries, threat = random_images(20, seed=5), Threat(0.5, "l2")

    def far(share: float) -> Choice[Attack]:
        def prepare(victim: Victim, threat: Threat) -> Craft:
            def craft(batch: Queries) -> Images:
                inward = torch.where(batch.images < 0.5, 1.0, -1.0)
                wanted = torch.where(batch.index[:, None, None, None] == 7, share, 0.5)
                return batch.images + wanted * threat.even(inward) / threat.eps * inward

            return craft

        return Choice(Entry("far", prepare), {})

    found = judge(far(0.5), victim, queries, threat, 0)
    assert found.arrays["l2"].max() == pytest.approx(0.5)
    with pytest.raises(ThreatViolation, match=r"an image moved by 0\.5001 in l2, the budget is 0\.5"):
        judge(far(0.5001), victim, queries, threat, 0)


def test_a_pixel_outside_of_the_patch_ends_its_cell() -> None:
    victim, _ = make_toy(small_model())
    queries = random_images(20, seed=5)

    def prepare(victim: Victim, threat: Threat) -> Craft:
        def craft(batch: Queries) -> Images:
            images = batch.images.clone()
            images[:, :, :3, :3] = 0.5
            images[batch.index == 7, :, 7, 7] = 0.5
            return images

        return craft

    found = judge(
        Choice(Entry("far", prepare), {}),
        victim,
        ImageSet(queries.images[torch.arange(7)], queries.labels[:7]),
        Threat(1.0, "patch-3"),
        0,
    )
    assert found.arrays[PATCH_SIDE].max() == 3
    with pytest.raises(ThreatViolation, match=r"a change spans 8 pixels, the patch has 3 x 3"):
        judge(Choice(Entry("far", prepare), {}), victim, queries, Threat(1.0, "patch-3"), 0)


def test_a_constant_model_scores_chance_under_any_attack() -> None:
    victim, _ = make_toy(small_model())
    dead = HashModel(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 12)), 12)
    torch.nn.init.zeros_(dead.network[1].weight)  # type: ignore[index]
    victim = make_victim(dead, victim.train, random_images(60, seed=4))
    for name in ("none", "noise", "pgd-hamming"):
        numbers = judge(attacks.choose(Spec(name)), victim, random_images(20, seed=5), Threat(0.2), 0).numbers
        assert numbers["map"] == numbers["chance_map"]
        assert numbers["distinct_codes"] == 1
        assert numbers["bit_entropy"] == 0


def test_entropy_of_bits() -> None:
    assert bit_entropy(torch.tensor([[1.0, 1.0], [-1.0, 1.0]])) == pytest.approx(0.5)


def test_a_model_without_finite_codes_is_refused() -> None:
    model = small_model()
    model.network[5].bias.data.fill_(torch.nan)  # type: ignore[index]
    with pytest.raises(BadOutput, match="not finite"):
        make_victim(model, random_images(4), random_images(4))


def test_a_model_that_raises_while_it_is_asked_ends_its_cell_with_the_reason() -> None:
    class Narrow(torch.nn.Flatten):
        """Takes the two images of the database, and no more."""

        def forward(self, images: Tensor) -> Tensor:
            if len(images) > 2:
                raise ValueError("at most 2 images")
            return super().forward(images)

    database, queries = random_images(2), random_images(4)
    victim = make_victim(HashModel(Narrow(), 64), database, database)
    where = r"the model raised ValueError at test_judge.py:\d+: at most 2 images"
    with pytest.raises(CodeRaised, match=where):
        make_victim(victim.model, database, queries)
    with pytest.raises(CodeRaised, match=where):
        judge(attacks.choose(Spec("none")), victim, queries, Threat(0.2), 0)
    with pytest.raises(CodeRaised, match=where):
        corrupted_precision(victim, queries, None, 0, 0)
    with pytest.raises(CodeRaised, match=where):
        audited_codes(victim.model, queries.images[torch.arange(4)], 0, torch.arange(4))


def test_the_gallery_is_coded_by_the_victim_itself() -> None:
    model, database = small_model(), random_images(30)
    victim = make_victim(model, random_images(4), database)
    assert isinstance(victim, Victim)
    assert isinstance(victim.gallery, Gallery)
    assert torch.equal(victim.gallery.codes, binarize(encode(model, database)))
