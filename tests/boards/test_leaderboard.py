from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
from toy_results import result

from hashbench.boards.intervals import ConfidenceInterval
from hashbench.boards.leaderboard import (
    COLUMNS,
    HOST,
    Leaderboard,
    folder_name,
    leaderboards,
)
from hashbench.boards.plots.matrix import save_matrix
from hashbench.boards.ranking import RankingRow, rank
from hashbench.boards.terminal import print_matrix
from hashbench.boards.write import write_leaderboard
from hashbench.running.commands import told
from hashbench.running.store import Result, Store
from hashbench.threat import format_eps


def board() -> Leaderboard:
    values = {("none", "none"): 0.9, ("none", "pgd"): 0.2, ("mine", "none"): 0.8, ("mine", "pgd"): 0.6}
    results = [result(d, a, v + 0.02 * seed, seed) for (d, a), v in values.items() for seed in (0, 1)]
    results += [result(d, "broken", None, seed) for d in ("none", "mine") for seed in (0, 1)]
    (made,) = leaderboards(results)
    return made


def test_rows_have_all_columns_and_the_clean_map_of_their_own_model() -> None:
    rows = board().rows()
    assert list(rows.columns) == COLUMNS
    assert list(board().provenance().columns)[5:] == HOST
    attacked = rows[(rows.attack == "pgd") & (rows.seed == 1)].set_index("defense")
    assert attacked.map_clean.to_dict() == {"none": pytest.approx(0.92), "mine": pytest.approx(0.82)}
    assert attacked.steps.tolist() == [5, 5]
    invalid = rows[rows.attack == "broken"]
    assert invalid["map"].isna().all()
    assert (invalid.reason == "it broke").all()


def test_the_matrix_averages_seeds_and_starts_with_none() -> None:
    matrix = board().matrix().set_index("defense")
    assert list(matrix.index) == ["none", "mine", "chance"]
    assert matrix.pgd.to_dict() == {"none": pytest.approx(0.21), "mine": pytest.approx(0.61), "chance": 0.3}
    assert matrix.broken[:2].isna().all()
    assert list(matrix.columns[:4]) == ["seeds", "none", "none low", "none high"]


def test_the_matrix_says_over_how_many_seeds_each_row_is_averaged() -> None:
    results = [result("none", "none", 0.9, seed) for seed in (0, 1, 2)] + [result("jpeg", "none", 0.8, 1)]
    (made,) = leaderboards(results)
    assert made.matrix().set_index("defense").seeds.to_dict() == {"none": 3, "jpeg": 1, "chance": 3}


def test_only_comparable_results_share_a_board() -> None:
    base = result("none", "none", 0.5)
    others = [replace(result("none", "none", 0.5, 0, **{name: value}), key=name) for name, value in (
        ("bits", 16), ("eps", 0.1), ("training", "clean:epochs=3"), ("dataset", "other"), ("split_digest", "e" * 16),
    )]  # fmt: skip
    boards = leaderboards([base, *others])
    assert len(boards) == len({made.name for made in boards}) == 6


def test_of_two_measurements_of_one_cell_the_newer_counts() -> None:
    old, new = result("none", "none", 0.5), result("none", "none", 0.6)
    new = replace(new, key="new", host={"created_utc": "2026-02-01T00:00:00+00:00"})
    for order in ([old, new], [new, old]):
        (made,) = leaderboards(order)
        assert made.results == (new,)


def test_names_of_folders() -> None:
    identity = result("none", "none", 0.5).identity
    assert folder_name(identity) == "digits-cnn-csq-32bit-linf-8-255"
    long = [folder_name(identity | {"training": f"clean:{'x' * 300}{end}"}) for end in "ab"]
    assert [len(name) for name in long] == [180, 180]
    assert long[0][:-8] == long[1][:-8]
    assert long[0] != long[1]
    assert folder_name(identity | {"dataset": "fashion-mnist:train=100", "eps": 0.05}) == (
        "fashion-mnist-train-100-cnn-csq-32bit-linf-0.05"
    )
    assert [format_eps(eps) for eps in (8 / 255, 0.05, 0.0, 1.0)] == ["8/255", "0.05", "0", "255/255"]


def written(folder: Path, made: Leaderboard | None = None) -> Path:
    made, store = made or board(), Store(folder / "store")
    return write_leaderboard(made, folder, store, rank(made, store.arrays))


def test_writes_the_same_files_twice(tmp_path: Path) -> None:
    folder = written(tmp_path)
    first = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    assert set(first) == {
        "results.csv", "matrix.csv", "ranking.csv", "provenance.csv", "matrix.png", "matrix.svg", "digests.json",
        "provenance.sha256", "sanity.csv", "curve.csv",
    }  # fmt: skip
    written(tmp_path)
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == first
    assert pd.read_csv(folder / "results.csv")["map"].notna().sum() == 8


def test_the_picture_has_the_resolution_of_a_paper(tmp_path: Path) -> None:
    picture = matplotlib.image.imread(written(tmp_path) / "matrix.png")
    assert picture.shape[1] > 1000
    assert picture.std() > 0.05


def test_a_board_without_any_number_is_still_written(tmp_path: Path) -> None:
    (made,) = leaderboards([result("none", attack, None) for attack in ("none", "pgd")])
    assert made.chance is None
    assert (written(tmp_path, made) / "matrix.png").is_file()


def test_the_oblivious_attacker_has_a_column_beside_the_plain_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = [result(d, a, 0.5) for d in ("none", "jpeg") for a in ("none", "pgd", "pgd:steps=7")]
    results.append(replace(result("jpeg", "pgd", 0.7, attacker="oblivious"), key="oblivious"))
    (made,) = leaderboards(results)
    assert made.attacks == ["none", "pgd", "pgd (oblivious)", "pgd:steps=7"]
    matrix = made.matrix().set_index("defense")
    assert matrix.loc["jpeg", "pgd"] == 0.5
    assert matrix.loc["jpeg", "pgd (oblivious)"] == 0.7
    assert matrix["pgd (oblivious)"].isna().tolist() == [True, False, False]
    assert made.rows().attacker.tolist().count("oblivious") == 1
    print_matrix(made)
    assert "invalid" not in capsys.readouterr().out
    written(tmp_path, made)


def test_rows_of_an_older_version_have_a_board_of_their_own_beside_those_of_today() -> None:
    def made(defense: str, value: float, version: int) -> Result:
        return result(defense, "pgd-hamming", value, versions={"attack": 1, "defense": version})

    found = [made("none", 0.5, 1), made("cgat", 0.7, 1), made("cgat", 0.8, 0)]
    first, second = leaderboards(found)
    assert first.outdated == ()
    assert [r.numbers["map"] for r in first.results] == [0.5, 0.7]
    assert second.outdated == ("cgat, version 0; now 1",)
    assert second.title.endswith("; cgat, version 0; now 1")
    assert second.name == f"{first.name}-cgat-version-0"
    assert [r.numbers["map"] for r in second.results] == [0.5, 0.8]


def test_a_plugin_that_was_edited_replaces_what_it_made_before() -> None:
    made = [result("none", "mine", 0.5, versions={"attack": stamp}) for stamp in ("1+aaaa", "1+bbbb")]
    (board,) = leaderboards([replace(one, key=str(number)) for number, one in enumerate(made)])
    assert [r.key for r in board.results] == ["1"]


@pytest.mark.parametrize("places", ["--store /a/b --out 'c d'", "--store=/a/b", "--out c", ""])
def test_commands_name_no_folder_of_a_machine(places: str) -> None:
    assert told(f"hashbench run {places} --attack 'hag:steps=5'", {}) == "hashbench run --attack hag:steps=5"


@pytest.mark.parametrize("suite", ["--suite /home/me/mine.toml", "--suite=mine.toml --zoo z"])
def test_a_suite_of_ones_own_is_written_as_the_command_of_each_cell(suite: str) -> None:
    (board,) = leaderboards([result("cgat:weight=3", "hag:steps=5", 0.5)])
    (made,) = (replace(r, host={**r.host, "command": f"hashbench run {suite}"}) for r in board.results)
    (row,) = replace(board, results=(made,)).provenance().to_dict("records")
    assert row["command"] == (
        "hashbench run --dataset digits --backbone cnn --method csq --bits 32 --eps 8/255 --seed 0 "
        "--defense cgat:weight=3 --attack hag:steps=5"
    )
    assert told("hashbench run --suite quick --out x", made.identity) == "hashbench run --suite quick"


@pytest.mark.parametrize("many", [False, True], ids=["defenses by attacks", "attacks by defenses"])
def test_the_picture_ends_with_what_ranks(tmp_path: Path, many: bool) -> None:
    names = [f"attack{number:02}" for number in range(20 if many else 2)]
    (made,) = leaderboards([result(d, a, 0.5) for d in ("none", "mine") for a in ("none", *names)])
    assert made.tall == many
    interval = ConfidenceInterval(0.124, 0.1, 0.2, 0.5)
    ranked = RankingRow("mine", "ranked", "", worst=np.full((1, 4), 0.124), interval=interval)
    save_matrix(made, tmp_path / "with", [ranked])
    save_matrix(made, tmp_path / "without", [])
    shown, plain = ((tmp_path / f"{name}.svg").read_text() for name in ("with", "without"))
    assert "worst case" in shown
    assert "12.4" in shown
    assert ("[10.0, 20.0]" in shown) == (not many)
    assert "worst case" not in plain
