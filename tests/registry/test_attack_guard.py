"""An attack reads its victim; what it changes there, others would read too."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from toys import random_images, small_model

from hashbench.errors import WroteInto
from hashbench.evaluation.judge import make_victim
from hashbench.models.data import Queries, Victim
from hashbench.models.model import HashModel
from hashbench.registry.attack_guard import guarded
from hashbench.registry.protocols import Craft
from hashbench.threat import Threat
from hashbench.types import Images

Act = Callable[[Victim], object]
DATA, QUERIES = random_images(8), Queries(torch.rand(2, 1, 8, 8), torch.eye(2), torch.arange(2))


def ran(victim: Victim, *, first: Act = id, then: Act = id) -> None:
    """Prepare an attack that acts on its victim, and let it craft and act again."""

    def own(given: Victim, threat: Threat) -> Craft:
        first(given)

        def craft(queries: Queries) -> Images:
            then(given)
            given.model(queries.images)
            return queries.images

        return craft

    guarded(own, "white")(victim, Threat(0.1))(QUERIES)


def fails(victim: Victim) -> None:
    victim.gallery.labels.zero_()
    raise ValueError("no luck")


def weight(victim: Victim) -> Tensor:
    return list(victim.model.parameters())[-2]  # of no convolution: those are copies while an attack crafts


WRITES: list[tuple[str, Act]] = [
    ("victim.gallery.codes", lambda victim: victim.gallery.codes.neg_()),
    ("victim.gallery.labels", fails),
    ("victim.train.labels", lambda victim: victim.train.labels[0].zero_()),
    ("network.5.weight of its victim's model", lambda victim: weight(victim).add_(1)),
    ("network.1.running_mean", lambda victim: victim.model.get_buffer("network.1.running_mean").add_(1)),
    ("network.new", lambda victim: victim.model.network.register_buffer("new", torch.zeros(1))),
]


@pytest.mark.parametrize("when", ["first", "then"])
@pytest.mark.parametrize(("named", "act"), WRITES)
def test_a_write_into_the_victim_is_named(named: str, act: Act, when: str) -> None:
    victim = make_victim(small_model(), DATA.copied(), DATA.copied())
    with pytest.raises(WroteInto, match=named):
        ran(victim, **{when: act})


def test_what_is_put_back_is_no_change() -> None:
    def there_and_back(victim: Victim) -> None:
        before = {name: value.clone() for name, value in victim.model.state_dict().items()}
        victim.model.train()
        victim.model(QUERIES.images)
        victim.model.load_state_dict(before)

    victim = make_victim(small_model(), DATA, DATA)
    ran(victim, first=there_and_back, then=there_and_back)


def test_a_model_may_write_its_own_buffers() -> None:
    class Counting(nn.Module):
        asked: Tensor

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("asked", torch.zeros(()))

        def forward(self, images: Images) -> Images:
            self.asked += len(images)
            return images

    victim = make_victim(HashModel(nn.Sequential(Counting(), small_model().network), 12).eval(), DATA, DATA)
    ran(victim)
    ran(victim, then=lambda given: given.model(QUERIES.images))
    with pytest.raises(WroteInto, match="weight"):
        ran(victim, then=lambda given: weight(given).add_(1))
