"""Images in two roles are found by their content, whatever they are called, and named."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from command import hashbench
from small_files import write_lists

from hashbench import evaluate
from hashbench.conformance.data_sets import inspect_lists, inspect_split
from hashbench.datasets.digits import digits
from hashbench.datasets.lists import lists
from hashbench.evaluation import leaks as leaks_module
from hashbench.evaluation.leaks import leaks
from hashbench.models.data import RetrievalSplit, split_of_tensors


def split_with(queries: list[int], train: list[int], validation: list[int], database: list[int]) -> RetrievalSplit:
    """Each number stands for one random image."""
    images = torch.rand(40, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    labels = torch.eye(4).repeat(10, 1)
    roles = {"queries": queries, "train": train, "validation": validation, "database": database}
    return split_of_tensors(**{role: (images[rows], labels[rows]) for role, rows in roles.items()}, eps=8 / 255)


def test_sound_splits_leak_nothing() -> None:
    assert leaks(split_with([0, 1], [2, 3], [4, 5], [2, 3, 4])) == []  # database images may be validation queries
    assert leaks(digits()) == []


def test_each_forbidden_pair_of_roles_is_found_with_positions_and_number() -> None:
    split = split_with([0, 1, 2, 3, 4], [9, 3], [9, 0], [8, 4, 3, 2, 1, 4])
    assert [(leak.role, leak.other, leak.pairs) for leak in leaks(split)] == [
        ("queries", "database", ((1, 4), (2, 3), (3, 2), (4, 1))),
        ("queries", "train", ((3, 1),)),
        ("validation", "train", ((0, 0),)),
        ("queries", "validation", ((0, 1),)),
    ]
    assert str(leaks(split)[0]) == (
        "leak: 4 of 5 images of queries are in database too: queries[1] is database[4], queries[2] is database[3], "
        "queries[3] is database[2] and 1 more; take them out of one of the two"
    )


def test_one_changed_pixel_makes_another_image() -> None:
    split = split_with([0], [1], [2], [0, 1])
    split.database.images[0, 0, 3, 3] += 1e-6
    assert leaks(split) == []


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_lists(tmp_path, classes=3)
    return tmp_path


def test_a_file_under_another_name_is_found_and_only_files_of_equal_length_are_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert leaks(lists(root=folder, size=8)) == []
    shutil.copy(folder / "d.bmp", folder / "r.bmp")
    with (folder / "a.bmp").open("ab") as file:
        file.write(b"0")  # of a length of its own
    read = []

    def noted(path: Path) -> bytes:
        read.append(path.name)
        return path.read_bytes()

    monkeypatch.setattr(leaks_module, "_file_digest", noted)
    leak, other = leaks(lists(root=folder, size=8))
    assert (other.role, other.other) == ("queries", "validation")  # those are images of the database
    assert str(leak).startswith(
        "leak: 1 of 2 images of queries are in database too: queries[1] (r.bmp) is database[3] (d.bmp); take"
    )
    assert "a.bmp" not in read
    assert {"d.bmp", "r.bmp"} <= set(read)


def test_what_describes_a_data_set_names_leaks(folder: Path) -> None:
    shutil.copy(folder / "b.bmp", folder / "q.bmp")
    lines = [line for line in inspect_lists("lists", folder, 8, 8 / 255) if line.about == "leak"]
    assert [(line.values["role"], line.values["other_role"], line.values["pairs"]) for line in lines] == [
        ("queries", "database", [[0, 1]]),
        ("queries", "train", [[0, 1]]),
    ]
    (none,) = [line for line in inspect_split("digits", digits()) if line.about == "leak"]
    assert none.text.startswith("leaks: none; no image is in both of queries and database, queries and train")


def test_a_run_and_an_evaluation_say_it(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(folder / "b.bmp", folder / "q.bmp")
    words = ["run", "--dataset", f"lists:root={folder},size=8", "--training", "epochs=1", "--certify", "no"]
    found = hashbench(capsys, monkeypatch, *words, "--store", tmp_path / "s", "--out", tmp_path / "o")
    assert "leak: 1 of 2 images of queries are in train too: queries[0] (q.bmp) is train[1] (b.bmp)" in found.err
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 8))
    report = evaluate(network, split_with([0, 1], [2], [3], [1, 5]), attacks="noise", probe=False, certificate=False)
    assert str(report).endswith("queries[1] is database[0]; take them out of one of the two")
    assert report.leaks[0] in report.to_json()
