from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command import QUICK, Outcome, registries_restored, work_in
from toys import random_images

from hashbench.boards.files import read_boards
from hashbench.evaluation.corruptions import CORRUPTIONS
from hashbench.models.data import split_of_tensors
from hashbench.registry.decorators import dataset
from hashbench.running.store import Store

SUBJECT = ("--dataset", "tiny", "--backbone", "cnn:width=2", "--bits", "8", "--eps", "26/255", *QUICK[:2])
FOLDER = "tiny-cnn-width-2-csq-8bit-clean-epochs-1-linf-26-255-corruptions"


def corrupt(folder: Path, *words: str) -> Outcome:
    return work_in(folder, "corruptions", *SUBJECT, *words)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    place = tmp_path_factory.mktemp("corruptions")
    with registries_restored():

        @dataset("tiny")
        def tiny():  # type: ignore[no-untyped-def]
            parts = dict(zip(("train", "queries", "database"), map(random_images, (40, 8, 60)), strict=True))
            return split_of_tensors(**parts, eps=0.1)

        said = corrupt(place, "--defense", "bit-depth", "--seed", "0", "--seed", "1")
        assert said.code == 0, said.err
        assert "bit-depth: clean " in said.out
        yield place


def test_tables_hold_every_corruption_and_their_means(folder: Path) -> None:
    made = folder / "leaderboards" / FOLDER
    assert sorted(path.name for path in made.iterdir()) == [
        "corruption-means.csv", "corruptions.csv", "corruptions.png", "corruptions.svg",
    ]  # fmt: skip
    table, means = pd.read_csv(made / "corruptions.csv"), pd.read_csv(made / "corruption-means.csv")
    assert len(table) == 2 * 2 * 8 * 5
    assert set(table.corruption) == set(CORRUPTIONS)
    by_defense = table.groupby("defense")["map"].mean()
    for row in means.to_dict("records"):
        own = table[table.defense == row["defense"]]
        assert row["map_corrupted"] == pytest.approx(by_defense[row["defense"]], abs=1e-5)
        assert row["noise"] == pytest.approx(own[own.corruption == "noise"]["map"].mean(), abs=1e-5)
        assert row["map_clean"] == pytest.approx(own.map_clean.mean(), abs=1e-5)
        above, clean = (row[name] - row["chance_map"] for name in ("map_corrupted", "map_clean"))
        assert row["kept"] == pytest.approx(above / clean, abs=1e-3)
        assert row["ci_low"] <= row["map_corrupted"] <= row["ci_high"]
    assert np.isfinite(table["map"]).all()


def test_no_ranking_takes_them_in(folder: Path) -> None:
    assert read_boards(folder / "leaderboards") == []
    assert list(Store(folder / "runs").cells()) == []


def test_they_repeat_byte_by_byte_from_the_models_of_the_store(folder: Path) -> None:
    made = folder / "leaderboards" / FOLDER
    models = sorted((folder / "runs").rglob("*.safetensors"))
    assert models
    before = {path.name: path.read_bytes() for path in made.iterdir()}
    said = corrupt(folder, "--defense", "bit-depth", "--seed", "0", "--seed", "1")
    assert "training" not in said.log
    assert {path.name: path.read_bytes() for path in made.iterdir()} == before
    assert sorted((folder / "runs").rglob("*.safetensors")) == models


def test_some_corruptions_alone(folder: Path) -> None:
    said = corrupt(folder, "--corruption", "jpeg", "--out", "some", "--format", "png")
    assert said.code == 0
    table = pd.read_csv(folder / "some" / FOLDER / "corruptions.csv")
    assert table.level.tolist() == list(CORRUPTIONS["jpeg"].levels)
    whole = pd.read_csv(folder / "leaderboards" / FOLDER / "corruptions.csv")
    same = whole[(whole.corruption == "jpeg") & (whole.defense == "none") & (whole.seed == 0)]
    assert table["map"].tolist() == same["map"].tolist()


def test_a_wrong_name_is_one_line(folder: Path) -> None:
    said = corrupt(folder, "--corruption", "nois")
    assert (said.code, said.out) == (2, "")
    assert "no corruption is named 'nois'; did you mean 'noise'?" in said.err
