"""The attack set `standard-2`: never above a walk of its own, and black boxes only where gradients mislead."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import planted
import pytest
import torch
from toys import floor, make_toy, precision, small_model

from hashbench.attacks import standard_2 as module
from hashbench.attacks.standard_2 import gradients_mislead, standard_2
from hashbench.crafting.gallery_ap import NEAR_FLOOR, precision_in
from hashbench.crafting.precision_search import DRAWS, LowestImages, draws_of, flip_gains, flip_objective
from hashbench.models.codes import encode, encode_batch, mainstay_code
from hashbench.models.data import Gallery, Queries, Victim
from hashbench.models.model import HashModel, binarize, frozen
from hashbench.models.pass_counter import Passes, counted
from hashbench.threat import Threat
from hashbench.types import GuideCodes, Labels

THREAT = Threat(8 / 255)


def crafted(victim: Victim, queries: Queries, **words: float) -> Queries:
    craft = standard_2(victim, THREAT, **words)
    with frozen(victim.model):
        return replace(queries, images=craft(queries).detach())


def guides(victim: Victim) -> object:
    memory = binarize(encode(victim.model, victim.train))

    def guide(labels: Labels) -> GuideCodes:
        return mainstay_code(memory, victim.train.labels, labels)

    return guide


def test_flip_gains_are_differences_of_exact_precision() -> None:
    """Against AP recomputed for each code with one bit turned round by hand."""
    draw = torch.Generator().manual_seed(0)
    gallery = Gallery(binarize(torch.randn(40, 6, generator=draw)), torch.eye(3)[torch.arange(40) % 3])
    codes, labels = binarize(torch.randn(5, 6, generator=draw)), torch.eye(3)[torch.tensor([0, 1, 2, 0, 1])]
    gains = flip_gains(gallery, codes, labels)
    before = precision_in(gallery, codes, labels)
    for bit in range(6):
        turned = codes.clone()
        turned[:, bit] *= -1
        assert torch.allclose(gains[:, bit], before - precision_in(gallery, turned, labels), atol=1e-12)


def test_flip_gains_are_the_derivative_of_the_multilinear_extension() -> None:
    """E[AP] over independent random bits, summed over all 2^4 codes, differentiated numerically at a corner."""
    draw = torch.Generator().manual_seed(1)
    gallery = Gallery(binarize(torch.randn(30, 4, generator=draw)), torch.eye(2)[torch.arange(30) % 2])
    corners = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * 4)
    label = torch.tensor([[1.0, 0.0]])
    values = precision_in(gallery, corners, label.expand(16, 2))

    def extension(relaxed: torch.Tensor) -> torch.Tensor:
        return ((1 + corners * relaxed).double() / 2).prod(1) @ values

    corner = corners[5]
    expected = []
    for bit in range(4):
        step = torch.zeros(4)
        step[bit] = -0.01 * corner[bit]  # towards the flipped bit
        expected.append((extension(corner) - extension(corner + step)) / 0.005)
    assert torch.allclose(flip_gains(gallery, corner[None], label)[0], torch.stack(expected), atol=1e-4)


def test_a_code_without_a_relevant_item_has_no_gains() -> None:
    gallery = Gallery(torch.ones(4, 3), torch.zeros(4, 2))
    assert torch.equal(flip_gains(gallery, torch.ones(1, 3), torch.ones(1, 2)), torch.zeros(1, 3).double())


def test_every_iterate_counts() -> None:
    """The images that are kept are the lowest of all that the objective was asked about."""
    victim, queries = make_toy(small_model())
    lowest, seen = LowestImages(victim, queries), [precision(victim, queries)]
    objective = flip_objective(victim.model, victim.gallery, queries.labels)
    rows = torch.arange(len(queries.index))
    for stream in range(5):
        images = (queries.images + 0.1 * queries.random(stream)).clamp(0, 1)
        lowest.watched(objective)(images, rows, 0.0)
        seen.append(precision(victim, replace(queries, images=images)))
    assert np.allclose(lowest.precision.numpy(), np.min(seen, axis=0), equal_nan=True)
    assert np.allclose(precision(victim, replace(queries, images=lowest.images)), np.min(seen, axis=0), equal_nan=True)


def test_is_never_above_the_clean_query_and_keeps_the_budget() -> None:
    victim, queries = make_toy(small_model())
    attacked = crafted(victim, queries, share=0.2)
    THREAT.check(attacked.images, queries.images)
    assert (precision(victim, attacked) <= precision(victim, queries) + 1e-12).all()
    assert precision(victim, attacked).mean() < precision(victim, queries).mean()


def test_the_company_of_a_query_changes_nothing() -> None:
    victim, queries = make_toy(small_model())
    torch.manual_seed(0)
    craft = standard_2(victim, THREAT, share=0.2)
    with frozen(victim.model):
        whole = craft(queries)
        alone = craft(queries.take(torch.tensor([3])))
    assert torch.allclose(whole[3], alone[0], atol=1e-5)


def test_a_query_near_the_floor_takes_no_further_part() -> None:
    victim, queries = make_toy(small_model())
    lowest = LowestImages(victim, queries)
    expected = np.flatnonzero(precision(victim, queries) > floor(victim, queries) + NEAR_FLOOR)
    assert lowest.places.tolist() == expected.tolist()


@pytest.mark.parametrize("make", [planted.quantised, planted.reversed_, planted.dead])
def test_gradients_that_lead_nowhere_are_not_trusted(make: object) -> None:
    victim, _ = make_toy(small_model())
    assert not gradients_mislead(victim, THREAT, guides(victim))  # type: ignore[arg-type]
    broken = HashModel(make(victim.model.network), victim.model.bits)  # type: ignore[operator]
    assert gradients_mislead(replace(victim, model=broken), THREAT, guides(victim))  # type: ignore[arg-type]


def test_black_boxes_are_asked_only_where_gradients_mislead(monkeypatch: pytest.MonkeyPatch) -> None:
    victim, queries = make_toy(small_model())
    spent = {}
    for misled in (False, True):
        monkeypatch.setattr(module, "gradients_mislead", lambda *_, misled=misled: misled)
        monkeypatch.setattr(module, "lead_over_noise", lambda *_: torch.full((len(queries.index),), 9.0))
        passes, craft = Passes(), standard_2(victim, THREAT, share=0.1)
        with frozen(victim.model), counted(victim.model, passes):
            craft(queries)
        spent[misled] = passes.forwards / len(queries.index)
    assert spent[False] < 40 < spent[True]


def test_a_model_that_draws_random_numbers_is_judged_by_several_passes() -> None:
    victim, queries = make_toy(small_model())
    random = HashModel(planted.noisy(victim.model.network), victim.model.bits)
    assert draws_of(victim.model, victim.train) == 1
    assert draws_of(random, victim.train) == DRAWS
    passes = Passes()
    with counted(random, passes):
        LowestImages(replace(victim, model=random), queries, DRAWS)
    assert passes.forwards == DRAWS * len(queries.index)
    assert encode_batch(random, queries.images).shape == (len(queries.index), random.bits)
