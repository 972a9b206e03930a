"""The attack set `standard-2`: walks by exact average precision, and black boxes only where gradients mislead."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from hashbench.attacks.apgd_hamming import apgd_hamming
from hashbench.attacks.pgd_own import pgd_own
from hashbench.attacks.square_hamming import square_hamming
from hashbench.attacks.transfer import transfer
from hashbench.crafting.autopgd import auto_pgd
from hashbench.crafting.precision_search import LowestImages, draws_of
from hashbench.crafting.search import annealed, masked, noisy_start, plain
from hashbench.crafting.square_moves import numbers_a_move, square_side, with_squares
from hashbench.crafting.walks import Aims, Walk, Walks
from hashbench.models.codes import encode, mainstay_code, sample_of
from hashbench.models.data import Queries, Victim
from hashbench.models.model import HashModel, binarize, frozen
from hashbench.registry.decorators import attack
from hashbench.registry.parameters import Share
from hashbench.registry.protocols import Craft
from hashbench.threat import Threat
from hashbench.types import GuideCodes, Images, Labels, Scores

NOISE, SQUARES = 10, 11  # streams of the noise that gradients are compared with, and of changed squares
LARGEST = 0.8  # share of the image that the first squares would cover
SAMPLE = 2000  # database items in which walks approximate average precision
ASKED, STEPS = 32, 20  # training images that show whether gradients can be trusted, and gradients on each
TRUSTED = 2.5  # a model's gradients are trusted where they lead so many times as far as noise, in the median
NEAR = 0.1  # later walks are for queries that are not so near to the floor yet
MOVED, MOVED_FAR = 0.08, 0.25  # and whose AP has fallen so much before the third walk, and before the others
MEMBERS = ("apgd-hamming", "pgd-own", "transfer", "pgd-hamming", "soft-ap", "square-hamming")
USES = (*(("attack", name) for name in MEMBERS), ("backbone", "cnn"), ("method", "csq"))

FIRST = (Walk(Aims.from_guide, 32, 35, from_lowest=True), Walk(Aims.from_guide_annealed, 25, 35))
LATER = (
    Walk(Aims.from_own, 20, 25, MOVED, NEAR),
    Walk(Aims.from_guide_annealed, 20, 40, MOVED_FAR, NEAR),
    Walk(Aims.from_own, 20, 40, MOVED_FAR, NEAR),
)


@attack(
    "standard-2",
    threats=("linf", "l2"),
    paper="ours",
    uses=USES,
    presets={"quick": {"share": 0.05}},
)
def standard_2(victim: Victim, threat: Threat, *, share: Share = 1.0) -> Craft:
    """Search for each query's image of lowest exact AP in walks, with black-box attacks only where gradients fail.

    A walk is AutoPGD away from a guide code, then AutoPGD by the bits whose flip lowers the exact AP. The first is
    away from the weighted guide code, the second too, but through the annealed tanh; the third is away from the
    query's own code, for queries that have moved and not yet arrived. Every iterate's AP counts. Where gradients lead
    hardly farther than noise, on training images or on the query itself, the query goes on to the label-free attack,
    to logits of unit size, to transfer and to random search, which show what a defense hides. A query leaves when its
    AP can't fall by more than 0.01. docs/protocol.md has the walks, and what was measured.

    Args:
        share: share of the steps of each stage, at least one; `transfer` always runs in full.
    """
    return by_walks(victim, threat, FIRST, LATER, share)


def by_walks(victim: Victim, threat: Threat, first: Sequence[Walk], later: Sequence[Walk], share: float) -> Craft:
    """An attack set of walks, and of black-box attacks for queries whose gradients mislead.

    Args:
        first: walks that show whether a query's gradients lead farther than noise.
        later: those after them.
        share: share of the steps of each stage, at least one; `transfer` always runs in full.
    """
    memory = binarize(encode(victim.model, victim.train))
    sample, draws = sample_of(victim.gallery, SAMPLE), draws_of(victim.model, victim.train)

    def part(steps: int) -> int:
        return max(1, round(share * steps))

    def guides(labels: Labels) -> GuideCodes:
        return mainstay_code(memory, victim.train.labels, labels)

    misled, further = gradients_mislead(victim, threat, guides), further_attacks(victim, threat, part)

    def craft(queries: Queries) -> Images:
        aims = Aims(victim, queries, guides(queries.labels), memory, sample)
        walks = Walks(aims, threat, LowestImages(victim, queries, draws), part)
        lowest = walks.lowest
        clean = lowest.precision.clone()
        found = [walks.walk(one, stream, clean) for stream, one in enumerate(first)]
        doubtful = misled | (lead_over_noise(victim.model, aims.guide, queries, threat, found) <= 1)
        for stream, one in enumerate(later, len(first)):
            walks.walk(one, stream, clean)
        for member in further:
            places = lowest.places[doubtful[lowest.places]]
            if len(places):
                lowest.offer(member(queries.take(places)), places)
        change_squares(lowest, threat, queries, doubtful, part(600))
        return lowest.images

    return craft


def further_attacks(victim: Victim, threat: Threat, part: Callable[[int], int]) -> list[Craft]:
    """The attacks for queries whose gradients mislead.

    Args:
        part: the steps of an attack in full -> those that it takes.
    """
    return [
        pgd_own(victim, threat, steps=part(50), restarts=2),
        apgd_hamming(victim, threat, steps=part(50), restarts=1, logits="unit"),
        transfer(victim, threat),
        transfer(victim, threat, attack="soft-ap"),
        square_hamming(victim, threat, steps=part(300)),
    ]


def change_squares(lowest: LowestImages, threat: Threat, queries: Queries, chosen: Tensor, steps: int) -> None:
    """Random search from the lowest images: moves of squares of pixels that raise no average precision.

    Args:
        chosen: which queries take part [queries].
        steps: changes to try; each is a pass.
    """
    channels, height, width = queries.images.shape[1:]
    numbers = queries.draw((steps, numbers_a_move(threat, channels)), stream=SQUARES)
    for step in range(steps):
        rows = lowest.places[chosen[lowest.places]]
        if not len(rows):
            return
        side = square_side(0.3 + 0.7 * step / steps, LARGEST, height, width)
        tried = with_squares(lowest.images[rows], queries.images[rows], threat, numbers[rows, step], side)
        lowest.offer(tried, rows, ties=True)


def gradients_mislead(victim: Victim, threat: Threat, guides: Callable[[Labels], GuideCodes]) -> bool:
    """Whether gradients on training images lead hardly farther from the guide code than noise does.

    Args:
        guides: labels [images, classes] -> guide codes.
    """
    device = victim.gallery.codes.device
    index = torch.arange(min(ASKED, len(victim.train)))
    asked = Queries(victim.train.images[index].to(device), victim.train.labels[index].to(device), index.to(device))
    guide, start = guides(asked.labels), noisy_start(asked, threat)
    with frozen(victim.model):
        found = [
            auto_pgd(start, asked.images, masked(victim.model, guide, alpha=alpha), threat, steps=STEPS)[0]
            for alpha in (plain, annealed)
        ]
        return bool(lead_over_noise(victim.model, guide, asked, threat, found).median() < TRUSTED)


def lead_over_noise(
    model: HashModel, guide: GuideCodes, queries: Queries, threat: Threat, found: Sequence[Images]
) -> Scores:
    """How many times as far as noise of full size some images move the logits from the guide code: [queries].

    Args:
        found: images that searches came to; the one that moves farthest counts.
    """
    clean, signs = queries.images, torch.where(queries.random(NOISE) < 0, -1.0, 1.0)
    noise = threat.eps * threat.steepest(signs)

    def left(images: Images) -> Scores:
        with torch.no_grad():
            return (model.logits(images) * guide).mean(1)

    before = left(clean)
    by_noise = (before - left(threat.project(clean + noise, clean))).abs()
    by_gradients = before - torch.stack([left(images) for images in found]).amin(0)
    return by_gradients / by_noise.clamp(min=torch.finfo(by_noise.dtype).tiny)
