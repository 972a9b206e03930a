"""Attackers who see ids only have leaderboards of their own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command import QUICK, Outcome, registries_restored, work_in
from toys import random_images

from hashbench.boards.leaderboard import leaderboards
from hashbench.boards.pairing import pair
from hashbench.boards.ranking import rank
from hashbench.errors import BadParameter
from hashbench.models.data import split_of_tensors
from hashbench.registry.decorators import dataset
from hashbench.running.store import Result, Store
from hashbench.verification.board import verify_board

WHITE = "tiny-cnn-width-2-csq-8bit-clean-epochs-1-linf-26-255"
BOTH = ("--attack", "square-ranking:steps=3", "--attack", "hag:steps=2")
SUBJECT = ("--dataset", "tiny", "--backbone", "cnn:width=2", "--bits", "8", "--eps", "26/255", *QUICK[:2])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a store, whose cells are of both tracks, and their leaderboards."""
    place = tmp_path_factory.mktemp("tracks")
    with registries_restored():

        @dataset("tiny")
        def tiny():  # type: ignore[no-untyped-def]
            parts = dict(zip(("train", "queries", "database"), map(random_images, (40, 8, 60)), strict=True))
            return split_of_tensors(**parts, eps=0.1)

        assert run(place, *BOTH, "--attack", "noise", "--defense", "bit-depth").code == 0
        yield place


def run(folder: Path, *words: str) -> Outcome:
    return work_in(folder, "run", *SUBJECT, "--certify", "no", *words)


def results(folder: Path) -> list[Result]:
    return list(Store(folder / "runs").cells())


def test_each_track_has_a_leaderboard_that_verifies(folder: Path) -> None:
    boards = folder / "leaderboards"
    assert sorted(path.name for path in boards.iterdir()) == [WHITE, f"{WHITE}-ranking-top-50"]
    attacks = {path.name: set(pd.read_csv(path / "results.csv").attack) for path in boards.iterdir()}
    assert attacks == {
        WHITE: {"none", "noise", "hag:steps=2"},
        f"{WHITE}-ranking-top-50": {"none", "noise", "square-ranking:steps=3"},
    }
    said = work_in(folder, "verify", "leaderboards")
    assert said.code == 0, said.out
    ranking = pd.read_csv(boards / f"{WHITE}-ranking-top-50" / "ranking.csv").set_index("defense")
    assert set(ranking.attacks) == {"noise square-ranking:steps=3"}
    own = pd.read_csv(boards / f"{WHITE}-ranking-top-50" / "results.csv")
    assert set(own.access) == {"none", "ranking-top-50"}
    assert set(own.attacker) == {"adaptive"}  # whoever asks the deployed system meets its transformation


def test_rows_are_ranked_by_the_attack_of_their_track(folder: Path) -> None:
    found = [result for result in results(folder) if result.identity["access"] != "white"]
    whole = [replace(one, identity={**one.identity, "attack": one.identity["attack"].split(":")[0]}) for one in found]
    rows = {}
    for name, cells in (("short", found), ("whole", whole)):
        (board,) = leaderboards([one for one in cells if one.identity["access"] != "ranking-top-5"])
        rows[name] = rank(board, lambda result: {"average_precision": np.linspace(0.8, 0.9, 8)})
    assert {(row.status, row.note) for row in rows["short"]} == {("unranked", "run it with --attack square-ranking")}
    assert {(row.status, row.attack_set[0]) for row in rows["whole"]} == {("ranked", "ranking-1")}


def test_the_number_of_ids_makes_a_track(folder: Path) -> None:
    said = run(
        folder, "--access", "ranking", "--attack", "square-ranking:steps=3,top=5", "--out", "narrow", "--format", "png"
    )
    assert said.code == 0
    assert [path.name for path in (folder / "narrow").iterdir()] == [f"{WHITE}-ranking-top-5"]
    assert "attackers see the ids of the top 5" in said.out


def test_a_model_without_narrow_attacks_is_on_the_main_leaderboard_only(folder: Path) -> None:
    cells = [
        result
        for result in results(folder)
        if result.identity["defense"] == "none" or result.identity["access"] in ("none", "white")
    ]
    by_name = {board.name: board for board in leaderboards(cells)}
    assert by_name[WHITE].defenses == ["none", "bit-depth"]
    assert by_name[f"{WHITE}-ranking-top-50"].defenses == ["none"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("--access", "ranking", "--attack", "hag"),
            "attack 'hag' has access white, which --access=ranking rules out; take one of square-ranking",
        ),
        (("--access", "rankin"), "no access is called 'rankin'; did you mean 'ranking'?"),
    ],
)
def test_another_access_is_refused(folder: Path, words: tuple[str, ...], message: str) -> None:
    said = run(folder, *words)
    assert (said.code, said.out) == (2, "")
    assert message in said.err


def test_a_comparison_has_one_track(folder: Path) -> None:
    found = [result for result in results(folder) if result.identity["access"] != "ranking-top-5"]
    assert pair(found, ("none", "bit-depth")).attacks == ("hag:steps=2",)
    assert pair(found, ("none", "bit-depth"), ["square-ranking:steps=3"]).attacks == ("square-ranking:steps=3",)
    with pytest.raises(BadParameter, match="hag:steps=2 and square-ranking:steps=3 see different things"):
        pair(found, ("none", "bit-depth"), ["hag:steps=2", "square-ranking:steps=3"])
    narrow = [result for result in found if result.identity["access"] != "white"]
    assert pair(narrow, ("none", "bit-depth")).attacks == ("square-ranking:steps=3",)


def test_verify_names_a_mixed_leaderboard(folder: Path, tmp_path: Path) -> None:
    place = tmp_path / WHITE
    shutil.copytree(folder / "leaderboards" / WHITE, place)
    other = pd.read_csv(folder / "leaderboards" / f"{WHITE}-ranking-top-50" / "results.csv", dtype=str)
    mixed = pd.concat([pd.read_csv(place / "results.csv", dtype=str), other[other.access != "none"]])
    mixed.to_csv(place / "results.csv", index=False)
    assert "results.csv mixes tracks: rows with access ranking-top-50 and others" in verify_board(place).problems


def test_a_published_leaderboard_is_attacked_in_its_own_track(folder: Path) -> None:
    said = work_in(folder, "attack-board", f"leaderboards/{WHITE}", "--attack", "square-ranking")
    assert said.code == 2
    assert "square-ranking has access ranking-top-50, which no attack of the leaderboard has" in said.err


def test_python_makes_one_leaderboard_at_a_time(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import hashbench

    monkeypatch.chdir(folder)
    with pytest.raises(hashbench.HashbenchError, match="have a leaderboard each"):
        hashbench.run("tiny", attacks=["hag:steps=2", "square-ranking:steps=3"], backbone="cnn:width=2", bits=8)
