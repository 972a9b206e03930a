"""The codes of a database are made once for a model, whoever needs them next."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from toys import random_images, small_model

from hashbench.errors import BadOutput
from hashbench.evaluation.judge import make_victim
from hashbench.models.data import split_of_tensors
from hashbench.models.model import HashModel
from hashbench.models.pass_counter import Passes, counted
from hashbench.running.checkpoints import Checkpoints
from hashbench.running.store import DATABASES, WEIGHTS, Store
from hashbench.running.victims import kept_victim

SPLIT = split_of_tensors(
    train=random_images(8), queries=random_images(8), validation=random_images(8), database=random_images(300), eps=0.1
)


def passes_of(model: HashModel, checkpoints: Checkpoints, name: str = "a") -> int:
    passes = Passes()
    with counted(model, passes):
        kept_victim(model, SPLIT, checkpoints, name, 0)
    return passes.forwards


def test_a_kept_database_is_the_one_that_the_model_makes(tmp_path: Path) -> None:
    model, split, checkpoints = small_model(bits=13), SPLIT, Checkpoints(Store(tmp_path))
    made = make_victim(model, split.train, split.database)
    for _ in range(2):
        kept = kept_victim(model, split, checkpoints, "a", 0)
        assert torch.equal(kept.gallery.codes, made.gallery.codes)
        assert kept.gallery.codes.dtype is made.gallery.codes.dtype
        assert torch.equal(kept.gallery.labels, made.gallery.labels)


def test_it_is_made_once_for_a_name_and_again_when_it_is_fresh_or_damaged(tmp_path: Path) -> None:
    model, store = small_model(), Store(tmp_path)
    items = len(SPLIT.database)
    assert [passes_of(model, Checkpoints(store)) for _ in range(3)] == [items, 0, 0]
    assert passes_of(model, Checkpoints(store), "b") == items
    assert passes_of(model, Checkpoints(store, store.clock() + 1)) == items
    for path in (tmp_path / DATABASES).glob(f"*/{WEIGHTS}"):
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert [passes_of(model, Checkpoints(store)) for _ in range(2)] == [items, 0]


def test_codes_that_are_no_numbers_are_refused_and_not_kept(tmp_path: Path) -> None:
    model = small_model()
    with torch.no_grad():
        next(model.parameters()).fill_(torch.nan)
    for _ in range(2):
        with pytest.raises(BadOutput, match="not finite"):
            kept_victim(model, SPLIT, Checkpoints(Store(tmp_path)), "a", 0)
    assert not list((tmp_path / DATABASES).iterdir())
