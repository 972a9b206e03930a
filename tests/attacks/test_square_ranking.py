from __future__ import annotations

import inspect
from dataclasses import dataclass, fields, replace

import pytest
import torch
from toys import make_toy, precision, random_images, small_model

from hashbench.attacks.square_ranking import gain_left, square_ranking
from hashbench.errors import PluginError
from hashbench.evaluation.judge import make_victim
from hashbench.models.codes import encode_batch
from hashbench.models.data import Queries, Victim
from hashbench.models.model import binarize
from hashbench.models.pass_counter import Passes, counted
from hashbench.registry.decorators import attack
from hashbench.registry.entries import restored
from hashbench.registry.protocols import Craft
from hashbench.registry.ranking_box import RankingBox, nearest, numbering, ranking_box
from hashbench.threat import Threat
from hashbench.types import Ids, Images

STEPS, AROUND, TOP = 40, 3, 10
bare = inspect.unwrap(square_ranking)  # without the guard, which makes the box


@dataclass
class LoggingBox:
    """Answers as a box does, and keeps all that was asked and answered."""

    box: RankingBox
    asked: list[Images]
    answers: list[Ids]

    def answer(self, images: Images) -> Ids:
        self.asked.append(images.clone())
        self.answers.append(self.box.answer(images))
        return self.answers[-1]


def test_it_sees_nothing_but_ids() -> None:
    """Whoever returns the logged ids again, with no model behind them, gets the same images."""
    victim, queries = make_toy(small_model(48))
    oracle = LoggingBox(ranking_box(victim, TOP), [], [])
    params = {"steps": STEPS, "around": AROUND, "top": TOP}
    found = bare(oracle, Threat(0.2), **params)(queries)
    assert len(oracle.answers) == 1 + AROUND + 1 + STEPS
    assert all(ids.dtype == torch.int64 and ids.shape == (len(queries.images), TOP) for ids in oracle.answers)
    assert all(int(ids.min()) >= 0 and int(ids.max()) < len(victim.gallery.codes) for ids in oracle.answers)
    assert torch.equal(oracle.asked[0], queries.images)
    assert torch.equal(found, square_ranking(victim, Threat(0.2), **params)(queries))
    replayed = iter(oracle.answers)
    again = bare(RankingBox(lambda images: next(replayed)), Threat(0.2), **params)(queries)
    assert torch.equal(again, found)
    deaf = bare(RankingBox(lambda images: oracle.answers[0]), Threat(0.2), **params)(queries)
    assert not torch.equal(deaf, found)


def test_labels_and_training_images_change_nothing() -> None:
    victim, queries = make_toy(small_model(48))
    other = replace(victim, train=random_images(40, seed=77), gallery=replace(victim.gallery, labels=torch.ones(60, 4)))
    relabelled = replace(queries, labels=queries.labels.roll(1, 0), targets=None)
    one = square_ranking(victim, Threat(0.2), steps=STEPS)(queries)
    assert torch.equal(square_ranking(other, Threat(0.2), steps=STEPS)(relabelled), one)


def test_the_guard_gives_a_box_and_queries_without_labels() -> None:
    victim, queries = make_toy(small_model())
    seen: list[object] = []
    with restored():

        @attack("nosy", access="ranking")
        def nosy(box: RankingBox, threat: Threat, *, top: int = 5) -> Craft:
            def craft(given: Queries) -> Images:
                seen.extend([box, given, box.answer(given.images)])
                return given.images

            return craft

        nosy(victim, Threat(0.1), top=3)(queries)
    box, given, ids = seen
    assert isinstance(box, RankingBox)
    assert isinstance(given, Queries)
    assert isinstance(ids, torch.Tensor)
    assert [field.name for field in fields(box)] == ["answer"]
    assert (given.labels.shape, given.targets) == ((8, 0), None)
    assert ids.shape == (8, 3)


def test_an_attack_on_ids_says_how_many() -> None:
    with pytest.raises(PluginError, match="'blind' has access ranking and no parameter top"):

        @attack("blind", access="ranking")
        def blind(box: RankingBox, threat: Threat) -> Craft:
            raise NotImplementedError


def test_the_box_ranks_as_a_sort_does() -> None:
    model = small_model(6)  # few bits: most items are tied
    victim = make_victim(model, random_images(10), random_images(200, seed=4))
    images = random_images(7, seed=9).images[torch.arange(7)]
    codes = binarize(encode_batch(model, images))
    items = victim.gallery.codes[numbering(200)]
    for code, found in zip(codes, ranking_box(victim, 30).answer(images), strict=True):
        distances = [int((code != item).sum()) for item in items]
        assert found.tolist() == sorted(range(200), key=lambda place: (distances[place], place))[:30]
    assert sorted(numbering(200).tolist()) == list(range(200))
    assert nearest(codes, items, 500).shape == (7, 200)


def test_the_loss_weighs_what_is_left_by_its_places() -> None:
    own = [torch.tensor([[7, 3, 9], [1, 2, 3]]), torch.tensor([[3, 8, 7], [1, 2, 3]])]
    answer = torch.tensor([[3, 0, 7], [4, 5, 6]])
    gains = [1 / torch.log2(torch.tensor(2.0 + place)).item() for place in range(3)]
    weight = {7: (gains[0] + gains[2]) / 2, 3: (gains[1] + gains[0]) / 2}
    wanted = (gains[0] * weight[3] + gains[2] * weight[7]) / sum(gain**2 for gain in gains)
    torch.testing.assert_close(
        gain_left(own)(answer), torch.tensor([wanted, 0.0], dtype=torch.float64), atol=1e-4, rtol=0
    )


def toy(bits: int) -> tuple[Victim, Queries]:
    return make_toy(small_model(bits))


def test_it_drives_out_the_clean_answer_and_asks_once_a_step() -> None:
    victim, queries = toy(48)
    passes, box = Passes(), ranking_box(victim, TOP)
    craft = square_ranking(victim, Threat(0.2), steps=150, around=AROUND, top=TOP)
    with counted(victim.model, passes):
        found = craft(queries)
    assert passes == Passes(forwards=(1 + AROUND + 1 + 150) * len(queries.index))
    clean, after = box.answer(queries.images), box.answer(found)
    left = [len(set(one.tolist()) & set(other.tolist())) for one, other in zip(clean, after, strict=True)]
    assert sum(left) < 0.5 * TOP * len(left)
    attacked = replace(queries, images=found)
    assert precision(victim, attacked).mean() < precision(victim, queries).mean() - 0.02
