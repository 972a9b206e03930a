"""Models and the codes of their databases are made once, whoever needs them next, and nothing trained is lost."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from toys import random_images, small_model

from hashbench.errors import BadOutput, CodeRaised, InvalidCell, StoreUnusable, WroteInto
from hashbench.evaluation.foreign_code import defend
from hashbench.evaluation.judge import make_victim
from hashbench.methods.csq import csq
from hashbench.models.data import ImageSet, Victim, split_of_tensors
from hashbench.models.model import HashModel
from hashbench.models.pass_counter import Passes, counted
from hashbench.registry import entries
from hashbench.registry.decorators import attack, defense, method
from hashbench.registry.protocols import Craft, Method
from hashbench.registry.spec import Spec
from hashbench.running.cell import Cell
from hashbench.running.checkpoints import Checkpoints, kept_victim
from hashbench.running.request import Request, load_once
from hashbench.running.runner import Runner
from hashbench.running.store import DATABASES, WEIGHTS, Store
from hashbench.running.victims import Victims
from hashbench.threat import Threat
from hashbench.types import Codes, Labels

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


def test_the_database_of_other_weights_of_the_same_name_is_made_again(tmp_path: Path) -> None:
    checkpoints, items = Checkpoints(Store(tmp_path)), len(SPLIT.database)
    other = small_model(seed=1)
    assert passes_of(small_model(), checkpoints) == items
    assert [passes_of(other, checkpoints) for _ in range(2)] == [items, 0]
    made = make_victim(other, SPLIT.train, SPLIT.database)
    assert torch.equal(kept_victim(other, SPLIT, checkpoints, "a", 0).gallery.codes, made.gallery.codes)


def test_a_defense_that_trains_nothing_is_not_told_the_budget() -> None:
    model, method = small_model(), csq(torch.zeros(8, 12), SPLIT.train.labels)
    with entries.restored():

        @defense("reads", trains=False)
        def reads(model: HashModel, train: ImageSet, method: Method, threat: Threat) -> HashModel:
            return HashModel(torch.nn.Sequential(model.network, torch.nn.Threshold(threat.eps, 0.0)), model.bits)

        @defense("trains-it")
        def trains_it(model: HashModel, train: ImageSet, method: Method, threat: Threat) -> HashModel:
            assert threat.eps == 0.1
            return model

        reading, training = (entries.defenses.choose(Spec(name)) for name in ("reads", "trains-it"))
        assert defend(training, model, SPLIT.train, method, Threat(0.1)) is model
        with pytest.raises(CodeRaised, match=r"defense reads: threat.eps is not told to a defense with trains=False"):
            defend(reading, model, SPLIT.train, method, Threat(0.1))


def test_codes_that_are_no_numbers_are_refused_and_not_kept(tmp_path: Path) -> None:
    model = small_model()
    with torch.no_grad():
        next(model.parameters()).fill_(torch.nan)
    for _ in range(2):
        with pytest.raises(BadOutput, match="not finite"):
            kept_victim(model, SPLIT, Checkpoints(Store(tmp_path)), "a", 0)
    assert not list((tmp_path / DATABASES).iterdir())


def cell(method: str = "csq") -> Cell:
    """The clean cell of an undefended model that is small and trained for an epoch."""
    return Request(backbone="cnn:width=4", training="epochs=1", method=method).resolve().cells(load_once())[0]


def test_a_training_is_forgotten_only_once_its_model_is_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*given: object, **words: object) -> None:
        raise StoreUnusable("no space left")

    victims = Victims(Checkpoints(Store(tmp_path)), torch.device("cpu"))
    with monkeypatch.context() as patched:
        patched.setattr(Store, "save_model", full)
        with pytest.raises(StoreUnusable):
            victims.model(cell())
    (kept,) = (tmp_path / "trainings").iterdir()
    assert kept.name == f"{cell().clean_key}-1"
    victims.model(cell())
    assert not list((tmp_path / "trainings").iterdir())


def test_a_method_that_raises_makes_the_cell_invalid(tmp_path: Path) -> None:
    @method("moody")
    def moody(codes: Codes, labels: Labels, /) -> Method:
        """It never works."""
        raise ValueError("not today")

    try:
        found = Victims(Checkpoints(Store(tmp_path)), torch.device("cpu")).make(cell(method="moody"))
    finally:
        del entries.methods._entries["moody"]
    assert isinstance(found, InvalidCell)
    assert str(found).startswith("method moody raised ValueError at test_victims.py:")
    assert str(found).endswith(": not today")


def test_what_a_defense_refuses_too_late_ends_its_own_cells_alone(tmp_path: Path) -> None:
    asked = Request(backbone="cnn:width=4", training="epochs=1", norm="l2", defenses=("cgat:interval=0.1", "jpeg"))
    victims = Victims(Checkpoints(Store(tmp_path)), torch.device("cpu"))
    _, refused, other = (victims.make(cell) for cell in asked.resolve().cells(load_once()))
    assert isinstance(refused, InvalidCell)
    assert str(refused) == (
        "defense cgat:interval=0.1: the interval term bounds boxes of images (certificates are for l-inf budgets; none "
        "is known for l2); leave it out"
    )
    assert not isinstance(other, InvalidCell)


def test_data_that_a_defense_writes_into_is_used_no_more(tmp_path: Path) -> None:
    with entries.restored():

        @defense("dims")
        def dims(model: HashModel, train: ImageSet, method: Method, threat: Threat) -> HashModel:
            """Writes into its training images."""
            train.images[:].mul_(0.5)
            return model

        asked = Request(backbone="cnn:width=4", training="epochs=1", defenses=("dims",))
        clean, dimmed = asked.resolve().cells(load_once())
        victims = Victims(Checkpoints(Store(tmp_path)), torch.device("cpu"))
        victims.defended(clean)
        before = victims.split(clean).train
        found = victims.defended(dimmed)
    assert isinstance(found, WroteInto)
    assert str(found) == "defense dims wrote into train.images, which other rows read too; clone it first"
    rows, after = torch.arange(len(before)), victims.split(clean).train
    assert torch.equal(2 * before.images[rows], after.images[rows])
    assert torch.equal(after.images[rows], clean.subject.split.train.images[rows])


def test_a_victim_that_an_attack_writes_into_is_made_anew(tmp_path: Path) -> None:
    with entries.restored():

        @attack("flips", goal="untargeted")
        def flips(victim: Victim, threat: Threat) -> Craft:
            """Turns the codes of the database around."""
            victim.gallery.codes.neg_()
            return lambda queries: queries.images

        asked = Request(backbone="cnn:width=4", training="epochs=1", attacks=("none", "flips", "noise"))
        cells = {cell.attack.name: cell for cell in asked.resolve().cells(load_once())}
        runner = Runner(Store(tmp_path), torch.device("cpu"))
        flipped = runner.result(cells["flips"])
        assert not runner.victims.last
        clean = runner.result(cells["none"])
    assert flipped.reason == "the attack wrote into victim.gallery.codes, which other rows read too; clone it first"
    assert clean.numbers["map"] > 0.3
