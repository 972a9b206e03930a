"""Helpers that attacks train: each depends on its own settings alone, and none serves another model than its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from toys import make_toy, small_model

from hashbench.models.helpers import NONE, Settings, Tensors, Versions
from hashbench.registry.entries import attacks
from hashbench.registry.spec import Spec
from hashbench.seeds import seeded
from hashbench.threat import Threat

SMALL = {"epochs": "1", "width": "4", "net_steps": "3"}


class Kept:
    """Keeps what is trained, as the store does: under a seed of its own."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any], Versions, Tensors]] = []

    def __call__(
        self, name: str, settings: Settings, make: Callable[[], Tensors], *, of_victim: bool = True,
        versions: Versions = NONE,
    ) -> Tensors:  # fmt: skip
        """The helper's tensors."""
        with seeded(3):
            made = make()
        self.asked.append((name, dict(settings), versions, made))
        return made


def helpers(name: str, seed: int, words: dict[str, str]) -> Kept:
    victim, _ = make_toy(small_model())
    kept = Kept()
    torch.manual_seed(seed)
    victim = type(victim)(victim.model, victim.train, victim.gallery, kept)
    attacks.choose(Spec(name, words)).call(victim, Threat(0.1))
    return kept


@pytest.mark.parametrize(("attack", "words"), [("pros-gan", SMALL), ("tha", {"net_steps": "3"})])
def test_they_do_not_depend_on_what_was_drawn_before(attack: str, words: dict[str, str]) -> None:
    first, other = (helpers(attack, seed, words).asked for seed in (0, 1))
    assert [name for name, *_ in first] == [name for name, *_ in other] != []
    for (*_, one), (*_, two) in zip(first, other, strict=True):
        assert all(torch.equal(one[name], two[name]) for name in one)


def test_each_surrogate_has_helpers_of_its_own() -> None:
    seen = []
    for bits in ("12", "16"):
        words = {"attack": "uap-hamming", "epochs": "1", "bits": bits}
        surrogate, perturbation = helpers("transfer", 0, words).asked
        assert surrogate[0] == "surrogate"
        assert "surrogate" not in surrogate[1]
        assert perturbation[1]["surrogate"] == surrogate[1]
        assert {name: version for name, version in perturbation[2].items() if name.startswith("surrogate.")} == {
            f"surrogate.{role}": version for role, version in surrogate[2].items()
        }
        seen.append(perturbation[1])
    assert seen[0] != seen[1]
