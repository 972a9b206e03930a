"""The attack sets of walks: never above a walk of their own, and black boxes only where gradients mislead."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import planted
import pytest
import torch
from toys import floor, make_toy, precision, small_model

from hashbench.attacks import standard_2 as module
from hashbench.attacks.standard_2 import FIRST, LATER, NOISE, SQUARES, gradients_mislead, standard_2
from hashbench.attacks.standard_3 import LATER as LATER_OF_3
from hashbench.attacks.standard_3 import standard_3
from hashbench.crafting.gallery_ap import NEAR_FLOOR, precision_in
from hashbench.crafting.precision_search import (
    DRAWS,
    LowestImages,
    draws_of,
    flip_gains,
    flip_objective,
    smooth_objective,
)
from hashbench.crafting.soft_average_precision import soft_average_precision
from hashbench.crafting.walks import Aims, Walk, Walks
from hashbench.models.codes import class_codes, encode, encode_batch, mainstay_code, shared_labels
from hashbench.models.data import Gallery, Queries, Victim
from hashbench.models.model import HashModel, binarize, frozen
from hashbench.models.pass_counter import Passes, counted
from hashbench.registry.protocols import Craft
from hashbench.threat import Threat
from hashbench.types import GuideCodes, Labels

THREAT = Threat(8 / 255)


SETS = pytest.mark.parametrize("make", [standard_2, standard_3])


def crafted(make: Callable[..., Craft], victim: Victim, queries: Queries, **words: float) -> Queries:
    craft = make(victim, THREAT, **words)
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


@SETS
def test_is_never_above_the_clean_query_and_keeps_the_budget(make: Callable[..., Craft]) -> None:
    victim, queries = make_toy(small_model())
    attacked = crafted(make, victim, queries, share=0.2)
    THREAT.check(attacked.images, queries.images)
    assert (precision(victim, attacked) <= precision(victim, queries) + 1e-12).all()
    assert precision(victim, attacked).mean() < precision(victim, queries).mean()


@SETS
def test_the_company_of_a_query_changes_nothing(make: Callable[..., Craft]) -> None:
    victim, queries = make_toy(small_model())
    torch.manual_seed(0)
    craft = make(victim, THREAT, share=0.2)
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


@pytest.mark.parametrize("later", [LATER, LATER_OF_3])
def test_no_walk_shares_a_stream_of_noise_with_what_follows(later: tuple[Walk, ...]) -> None:
    assert len(FIRST) + len(later) <= min(NOISE, SQUARES)


def test_the_smooth_objective_is_the_soft_average_precision_of_a_gallery() -> None:
    victim, queries = make_toy(small_model())
    rows = torch.tensor([4, 1])
    value = smooth_objective(victim.model, victim.gallery, queries.labels, 2.0)(queries.images[rows], rows, 0.5)
    codes, relevant = victim.model(queries.images[rows]), shared_labels(queries.labels[rows], victim.gallery.labels)
    assert torch.equal(value.loss, soft_average_precision(codes, victim.gallery.codes, relevant, 2.0))
    assert value.codes is not None
    assert torch.equal(value.codes, codes)
    assert not value.done.any()


def aims_of(victim: Victim, queries: Queries) -> Aims:
    memory = binarize(encode(victim.model, victim.train))
    guide = mainstay_code(memory, victim.train.labels, queries.labels)
    return Aims(victim, queries, guide, memory, victim.gallery)


def test_a_walk_to_a_center_goes_from_the_guide_code_to_that_of_the_nearest_other_class() -> None:
    victim, queries = make_toy(small_model())
    aims, rows = aims_of(victim, queries), torch.arange(len(queries.index))
    value = aims.to_center(0)(queries.images, rows, 0.0)
    codes, centers = victim.model(queries.images), class_codes(aims.memory, victim.train.labels)
    for row in rows.tolist():
        others = centers[queries.labels[row] == 0]
        near = others[(others @ aims.own[row]).argmax()]
        expected = ((codes[row] * aims.guide[row]).mean() - (codes[row] * near).mean()) / 2
        assert torch.isclose(value.loss[row], expected)


def test_a_walk_without_an_aim_goes_down_from_the_lowest_image() -> None:
    victim, queries = make_toy(small_model())
    lowest = LowestImages(victim, queries)
    walks = Walks(aims_of(victim, queries), THREAT, lowest, lambda steps: steps)
    before, clean = lowest.precision.clone(), lowest.precision.clone()
    passes = Passes()
    with frozen(victim.model), counted(victim.model, passes):
        start = walks.walk(Walk(None, 0, 10, smooth=True), 2, clean)
    assert torch.equal(start, queries.images)
    assert (lowest.precision <= before).all()
    assert lowest.precision.mean() < before.mean()
    assert passes.backwards <= 10 * len(queries.index)
    THREAT.check(lowest.images, queries.images)


def test_only_queries_that_have_fallen_far_enough_and_not_arrived_take_part_in_a_walk() -> None:
    victim, queries = make_toy(small_model())
    lowest = LowestImages(victim, queries)
    walks = Walks(aims_of(victim, queries), THREAT, lowest, lambda steps: steps)
    clean = lowest.precision + torch.where(torch.arange(len(queries.index)) == 3, 0.2, 0.0)
    moved = (clean - lowest.precision > 0.1) & (lowest.precision > lowest.floor + 0.05)
    assert moved.nonzero().flatten().tolist() == [3]
    images = lowest.images.clone()
    with frozen(victim.model):
        walks.walk(Walk(Aims.from_guide, 5, 5, 0.1, 0.05), 0, clean)
    changed = (lowest.images != images).flatten(1).any(1)
    assert not changed[torch.arange(len(changed)) != 3].any()
