"""Images of the database without labels: who gets them, what the loss makes of them, and the mark of such a row."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from command import QUICK, Command
from toys import random_images, small_model

from hashbench.crafting.objectives import agreement
from hashbench.errors import BadOutput, PluginError
from hashbench.methods.csq import csq
from hashbench.models.codes import center_code, encode
from hashbench.models.data import ImageSet
from hashbench.models.model import HashModel, binarize
from hashbench.registry import entries
from hashbench.registry.decorators import defense
from hashbench.registry.protocols import Method
from hashbench.threat import Threat
from hashbench.training.adversarial import Guided, InnerAttack
from hashbench.training.guided import GuidedLoss
from hashbench.training.regularisers import Regularisers
from hashbench.training.unlabelled import PseudoLabelled, unlabelled_at_hand, unlabelled_images

STILL = InnerAttack(steps=1, step_ratio=1.0, reach=1e-6)


def test_they_are_at_hand_inside_the_block_only() -> None:
    with pytest.raises(BadOutput, match="set the defense's own parameter 'unlabelled'"):
        unlabelled_images()
    images = torch.rand(3, 1, 8, 8)
    with unlabelled_at_hand(images):
        assert unlabelled_images() is images
        with unlabelled_at_hand(None), pytest.raises(BadOutput):
            unlabelled_images()
    with pytest.raises(BadOutput):
        unlabelled_images()


def test_each_image_comes_with_the_code_that_the_model_gave_it() -> None:
    model, images = small_model(), torch.rand(30, 1, 8, 8)
    with unlabelled_at_hand(images):
        pseudo = PseudoLabelled.by(model)
    torch.manual_seed(0)
    drawn, codes = pseudo.drawn(50)
    model.eval()
    with torch.no_grad():
        torch.testing.assert_close(binarize(model(drawn)), codes)
    assert 20 < len({image.sum().item() for image in drawn}) <= 30, "with replacement"


def test_the_loss_is_minus_the_agreement_with_pseudo_codes_by_their_share() -> None:
    model, train = small_model(), random_images(20)
    assert isinstance(train.images, torch.Tensor)
    guided = Guided(encode(model, train), train.labels, center_code)
    method, settings = csq(encode(model, train), train.labels), Regularisers(unlabelled=0.5)
    images = torch.rand(1, 1, 8, 8)
    with unlabelled_at_hand(images):
        pseudo = PseudoLabelled.by(model)
    pseudo = replace(pseudo, codes=torch.where(torch.arange(12) < 9, 1.0, -1.0)[None])
    loss = GuidedLoss(
        model, method, guided, Threat(0.1), STILL, 3.0, None, "joint", settings, None, None, pseudo
    )  # fmt: skip
    alone = replace(loss, pseudo=None)
    index = torch.arange(8)
    model.eval()
    found, without = (one(train.images[index], train.labels[index], index) for one in (loss, alone))
    with torch.no_grad():
        wanted = -0.5 * (1 + 3) * agreement(model(images), pseudo.codes)
    torch.testing.assert_close(found - without, wanted[0], atol=1e-4, rtol=1e-4)


@pytest.mark.usefixtures("registries", "undrawn")
def test_a_row_that_used_them_is_marked_and_costs_more_passes(command: Command) -> None:
    Path("peeking.py").write_text("""
import hashbench

@hashbench.defense("peeking")
def peeking(model, train, method, threat):
    '''Asks for images that it must not have.'''
    hashbench.unlabelled_images()
    return model
""")
    rows = ("cgat:epochs=1,unlabelled=1", "cgat:epochs=1", "peeking")
    words = [word for row in rows for word in ("--defense", row)]
    outcome = command("run", *QUICK, "--certify", "no", "--plugin", "peeking.py", *words, "--attack", "noise")
    assert outcome.code == 0, outcome.err
    (path,) = Path("leaderboards").glob("*/ranking.csv")
    with path.open() as file:
        table = {row["defense"]: row for row in csv.DictReader(file)}
    marked, other = table[rows[0]], table[rows[1]]
    assert (marked["status"], marked["rank"]) == ("more data", "")
    assert marked["note"].startswith("trained on images of the database too, without labels")
    assert other["status"] != "more data"
    assert float(marked["train_cost"]) == pytest.approx(2 * float(other["train_cost"]), rel=0.2)
    assert table["peeking"]["status"] == "invalid"
    assert "set the defense's own parameter 'unlabelled'" in table["peeking"]["note"]


def test_a_defense_that_uses_them_without_saying_so_in_its_label_is_refused() -> None:
    with pytest.raises(PluginError, match="defense 'peek' sets unlabelled by default; let it be 0"):

        @defense("peek")
        def peek(
            model: HashModel, train: ImageSet, method: Method, threat: Threat, *, unlabelled: float = 1.0
        ) -> HashModel:
            """Looks at the database."""
            return model

    assert "peek" not in {entry.name for entry in entries.defenses}
