from __future__ import annotations

import torch
from toys import random_images

from hashbench.models.data import Queries, split_of_tensors
from hashbench.seeds import derive_seed


def queries(number: int, seed: int = 0) -> Queries:
    return Queries(torch.zeros(number, 1, 4, 4), torch.zeros(number, 2), torch.arange(number), seed)


def test_random_numbers_depend_on_the_query_and_not_on_its_batch() -> None:
    whole = queries(5).random()
    alone = Queries(torch.zeros(1, 1, 4, 4), torch.zeros(1, 2), torch.tensor([3]), 0).random()
    assert torch.equal(whole[3:4], alone)
    assert not torch.equal(whole[0], whole[1])
    assert not torch.equal(whole, queries(5).random(stream=1))
    assert not torch.equal(whole, queries(5, seed=1).random())


def test_random_numbers_are_uniform_and_leave_the_global_state_alone() -> None:
    torch.manual_seed(0)
    numbers = queries(2000).random()
    assert -1 <= numbers.min() < -0.99
    assert 0.99 < numbers.max() < 1
    assert abs(numbers.mean()) < 0.02
    assert abs(numbers.var() - 1 / 3) < 0.02
    after = torch.rand(1)
    torch.manual_seed(0)
    assert torch.equal(after, torch.rand(1))


def test_seeds_differ_by_every_part() -> None:
    seeds = {derive_seed(*parts) for parts in ((0, 1), (1, 0), (0, 1, 0), ("a",), ("b",))}
    assert len(seeds) == 5
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_a_split_has_a_digest_of_images_labels_and_roles() -> None:
    sets = [random_images(6, seed=seed) for seed in range(4)]

    def digest(train: int, other: int, database: int) -> str:
        roles = {"train": sets[train], "queries": sets[1], "validation": sets[other], "database": sets[database]}
        return split_of_tensors(**roles, eps=0.1).digest

    assert digest(0, 2, 3) == digest(0, 2, 3)
    assert digest(0, 2, 3) != digest(2, 0, 3)
    changed = sets[3].labels.clone()
    changed[0, 0] = 1 - changed[0, 0]
    before = digest(0, 2, 3)
    sets[3] = type(sets[3])(sets[3].images, changed)
    assert digest(0, 2, 3) != before
