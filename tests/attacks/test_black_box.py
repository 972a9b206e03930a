from __future__ import annotations

import pytest
import torch
from toys import make_toy, small_model

from hashbench.attacks.square_hamming import square_hamming
from hashbench.attacks.uap_hamming import uap_hamming
from hashbench.crafting.objectives import masked_agreement
from hashbench.crafting.square_moves import first_change, first_shape, numbers_a_move, with_squares
from hashbench.models.codes import center_code, encode, encode_batch, mainstay_code
from hashbench.models.model import binarize
from hashbench.models.pass_counter import Passes, counted
from hashbench.threat import Threat


@pytest.mark.parametrize("threat", [Threat(0.2), Threat(1.0, "l2")], ids=["linf", "l2"])
def test_the_square_attack_never_loses_ground_and_asks_once_a_step(threat: Threat) -> None:
    victim, queries = make_toy(small_model(48))
    center = center_code(binarize(encode(victim.model, victim.train)), victim.train.labels, queries.labels)
    craft = {steps: square_hamming(victim, threat, steps=steps) for steps in (1, 100)}
    passes = Passes()
    with counted(victim.model, passes):
        found = {steps: crafted(queries) for steps, crafted in craft.items()}
    scores = {s: (binarize(encode_batch(victim.model, images)) * center).sum() for s, images in found.items()}
    assert scores[100] < scores[1]
    assert passes.forwards == (1 + 1 + 100 + 1) * len(queries.index)
    assert passes.backwards == 0


def test_the_universal_perturbation_is_one_for_all_and_lowers_the_objective() -> None:
    victim, queries = make_toy(small_model(48))
    threat = Threat(0.1)
    inside = queries.take(torch.arange(8))
    images = inside.images.clamp(0.2, 0.8)
    inside = type(inside)(images, inside.labels, inside.index, inside.seed)
    found = uap_hamming(victim, threat, epochs=5, batch_size=10)(inside)
    changes = found - images
    torch.testing.assert_close(changes, changes[:1].expand_as(changes))
    guides = mainstay_code(binarize(encode(victim.model, victim.train)), victim.train.labels, inside.labels)
    before, after = (masked_agreement(victim.model(i), guides).mean() for i in (images, found))
    assert after < before


def test_l2_squares_hand_the_budget_on_without_losing_it() -> None:
    clean = torch.full((6, 3, 12, 12), 0.5)
    threat = Threat(0.3, "l2")
    numbers = torch.rand(6, 40, numbers_a_move(threat, 3), generator=torch.Generator().manual_seed(0))
    images = first_change(clean, threat, torch.rand(6, *first_shape(threat, 3, 12, 12)))
    for step in range(40):
        torch.testing.assert_close(threat.distance(images, clean), torch.full((6,), 0.3, dtype=torch.float64))
        moved = with_squares(images, clean, threat, numbers[:, step], 1 + step % 5)
        changed = ((moved - images).abs() > 1e-6).any(1).flatten(1).sum(1)  # the projection rounds others
        assert (changed <= 2 * (1 + step % 5) ** 2).all()
        images = moved
