"""AutoPGD on logits of unit size: a steep tanh is no shelter from it."""

from __future__ import annotations

import torch
from planted import planted, steep
from toys import make_toy, precision, small_model

from hashbench.attacks.apgd_hamming import apgd_hamming, mean_size
from hashbench.evaluation.judge import make_victim
from hashbench.models.data import Queries
from hashbench.models.model import HashModel
from hashbench.threat import Threat


def test_unit_logits_make_a_scale_of_the_logits_vanish() -> None:
    """A model whose logits are 50 times as large has the same codes, and gets the same images but for rounding."""
    victim, queries = make_toy(small_model())
    steeper = make_victim(planted(victim.model, steep), victim.train, victim.train)
    found = [apgd_hamming(v, Threat(0.1), steps=5, logits="unit")(queries) for v in (victim, steeper)]
    own = apgd_hamming(steeper, Threat(0.1), steps=5)(queries)
    assert (found[0] - found[1]).abs().mean() < 1e-3
    assert (found[0] - own).abs().mean() > 1e-3
    lows = [precision(steeper, Queries(x, queries.labels, queries.index)).mean() for x in (found[1], own)]
    assert lows[0] <= lows[1]


def test_size_of_a_dead_head_is_one() -> None:
    dead = HashModel(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.LazyLinear(4)), 4)
    images = torch.rand(2, 1, 4, 4)
    dead(images)
    torch.nn.init.zeros_(dead.network[1].weight)  # type: ignore[index]
    torch.nn.init.zeros_(dead.network[1].bias)  # type: ignore[index]
    assert mean_size(dead, images).tolist() == [1, 1]
