from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from command import QUICK, Outcome, registries_restored, work_in
from toys import random_images

from hashbench.api.corruptions import CorruptedModel, corruption_means
from hashbench.boards.files import read_boards
from hashbench.boards.plots.corruptions import save_corruptions
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
        assert row["ci_low"] <= row["map_corrupted"] <= row["ci_high"]
    assert np.isfinite(table["map"]).all()


def test_what_is_kept_is_of_the_part_above_chance() -> None:
    cell: Any = SimpleNamespace(defense=SimpleNamespace(label="mine"), seed=3)
    clean, chance, corrupted = (np.array([*values, np.nan]) for values in ((0.9, 0.7), (0.2, 0.2), (0.6, 0.4)))
    collapsed: Any = SimpleNamespace(defense=SimpleNamespace(label="collapsed"), seed=3)
    models = [
        CorruptedModel(collapsed, {}, chance, chance, {"noise": np.tile(chance, (5, 1))}, items=9),
        CorruptedModel(cell, {}, clean, chance, {"noise": np.tile(corrupted, (5, 1))}, items=9),
    ]
    first, second = corruption_means(models).to_dict("records")
    assert (first["defense"], first["map_corrupted"], first["kept"]) == ("mine", 0.5, 0.5)
    assert (second["defense"], second["map_corrupted"], second["kept"]) == ("collapsed", 0.2, None)


def test_no_ranking_takes_them_in(folder: Path) -> None:
    assert read_boards(folder / "leaderboards") == []
    assert list(Store(folder / "runs").cells()) == []


def test_they_repeat_byte_by_byte_from_the_models_of_the_store(folder: Path) -> None:
    made = folder / "leaderboards" / FOLDER
    models = sorted((folder / "runs").rglob("*.safetensors"))
    assert models
    before = {path.name: path.read_bytes() for path in made.iterdir()}
    said = corrupt(folder, "--defense", "bit-depth", "--seed", "0", "--seed", "1")
    assert "start: training" not in said.log
    assert {path.name: path.read_bytes() for path in made.iterdir()} == before
    assert sorted((folder / "runs").rglob("*.safetensors")) == models


def test_some_corruptions_alone(folder: Path) -> None:
    said = corrupt(folder, "--corruption", "jpeg", "--out", "some", "--format", "png")
    assert said.code == 0
    assert [path.name for path in (folder / "some" / FOLDER).glob("corruptions.*g")] == ["corruptions.png"]
    table = pd.read_csv(folder / "some" / FOLDER / "corruptions.csv")
    assert table.level.tolist() == list(CORRUPTIONS["jpeg"].levels)
    whole = pd.read_csv(folder / "leaderboards" / FOLDER / "corruptions.csv")
    same = whole[(whole.corruption == "jpeg") & (whole.defense == "none") & (whole.seed == 0)]
    assert table["map"].tolist() == same["map"].tolist()


def test_the_means_are_a_latex_table_too_and_older_pictures_go(tmp_path: Path) -> None:
    means = pd.DataFrame({
        "defense": ["other", "mine:weight=3"], "seeds": ["0", "0"], "map_clean": [0.9, 0.8], "noise": [0.7, 0.6],
        "jpeg": [0.5, 0.4], "map_corrupted": [0.6, 0.5], "ci_low": [0.5, 0.4], "ci_high": [0.7, 0.6],
        "kept": [0.7, None], "chance_map": [0.1, 0.1],
    })  # fmt: skip
    table = pd.DataFrame([
        {"defense": defense, "corruption": name, "strength": 1, "map": 0.5, "map_clean": 0.9, "chance_map": 0.1}
        for defense in means["defense"] for name in ("noise", "jpeg")
    ])  # fmt: skip
    save_corruptions(table, means, "digits_1", tmp_path / "corruptions", ("svg", "pdf"))
    save_corruptions(table, means, "digits_1", tmp_path / "corruptions", ("tex",))
    (path,) = tmp_path.iterdir()
    assert path.name == "corruptions.tex"
    lines = path.read_text().splitlines()
    assert r"\caption{digits\_1; under corruptions; mAP in percent. Parameters: mine weight=3.}" in lines
    assert r"defense & clean & noise & jpeg & mean corrupted & chance \\" in lines
    assert r"other & 90.0 & 70.0 & 50.0 & 60.0 & 10.0 \\" in lines
    assert r"mine & 80.0 & 60.0 & 40.0 & 50.0 & 10.0 \\" in lines


@pytest.mark.usefixtures("registries")
@pytest.mark.parametrize("channels", [2, 4])
def test_jpeg_is_refused_for_other_than_grey_and_colour_before_any_training(tmp_path: Path, channels: int) -> None:
    @dataset("many")
    def many():  # type: ignore[no-untyped-def]
        sizes = (("train", 40), ("queries", 8), ("database", 60))
        return split_of_tensors(**{role: random_images(n, channels=channels) for role, n in sizes}, eps=0.1)

    words = ("corruptions", *SUBJECT, "--dataset", "many")
    for names in ((), ("--corruption", "jpeg", "--corruption", "noise")):
        said = work_in(tmp_path, *words, *names)
        assert (said.code, said.out) == (2, "")
        assert f"jpeg takes images of 1 or 3 channels, and these have {channels}; give --corruption noise" in said.err
    said = work_in(tmp_path, *words, "--corruption", "jpeg")
    assert f"and these have {channels}; give another --corruption" in said.err
    assert not list(tmp_path.rglob("*.safetensors"))


def test_a_wrong_name_is_one_line(folder: Path) -> None:
    said = corrupt(folder, "--corruption", "nois")
    assert (said.code, said.out) == (2, "")
    assert "no corruption is named 'nois'; did you mean 'noise'?" in said.err
    said = corrupt(folder, "--patch", "3")
    assert (said.code, said.out) == (2, "")
    assert "--patch 3 is for attackers, and corruptions have none; leave it out" in said.err
