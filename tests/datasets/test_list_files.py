"""Folders of images with list files: what is read, and what is refused by file and line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hashbench.datasets.flickr25k import flickr25k
from hashbench.datasets.lists import lists
from hashbench.datasets.nuswide import nuswide
from hashbench.digests import DATA_VARIABLE
from hashbench.errors import BadInput, MissingData
from hashbench.models.data import RetrievalSplit

LINES = {"database": ["a", "b", "c", "d", "a"], "train": ["a", "b"], "test": ["q", "r"]}
ROWS = {"database": ["1 0", "0 1", "1 1", "0 0", "1 0"], "train": ["1 0", "0 1"], "test": ["1 0", "0 1"]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    random = np.random.RandomState(0)
    for name in "abcdqr":
        Image.fromarray(random.randint(0, 256, (30, 40, 3), dtype=np.uint8)).save(tmp_path / f"{name}.png")
    for role, names in LINES.items():
        (tmp_path / f"{role}_img.txt").write_text("".join(f"{name}.png\n" for name in names))
        (tmp_path / f"{role}_label.txt").write_text("".join(f"{row}\n" for row in ROWS[role]))
    return tmp_path


def read(folder: Path, size: int = 16) -> RetrievalSplit:
    return lists(root=folder, size=size)


def test_the_lists_become_roles_in_their_order(folder: Path) -> None:
    split = read(folder)
    assert [len(part) for part in (split.train, split.queries, split.database)] == [2, 2, 5]
    assert split.database.labels.tolist() == [[1, 0], [0, 1], [1, 1], [0, 0], [1, 0]]
    images = split.database.images[torch.arange(5)]
    assert tuple(images.shape) == tuple(split.database.images.shape) == (5, 3, 16, 16)
    assert torch.equal(images[0], images[4])
    assert torch.equal(images[:2], split.train.images[torch.arange(2)])
    assert (split.channels, split.size, split.eps) == (3, 16, 8 / 255)


def test_validation_queries_are_neither_trained_on_nor_queries(folder: Path) -> None:
    split = read(folder)
    assert len(split.validation) == 2
    assert torch.equal(split.validation.images[torch.arange(2)], split.database.images[torch.tensor([2, 3])])


def test_the_digest_follows_lists_labels_files_and_size(folder: Path) -> None:
    digests = {read(folder).digest, read(folder, size=17).digest}
    assert read(folder).digest in digests
    (folder / "test_label.txt").write_text("1 0\n1 1\n")
    digests.add(read(folder).digest)
    (folder / "a.png").write_bytes((folder / "a.png").read_bytes() + b"0")
    digests.add(read(folder).digest)
    for role in ("database", "train"):
        path = folder / f"{role}_img.txt"
        path.write_text(path.read_text().replace("b.png", "c.png"))
    digests.add(read(folder).digest)
    assert len(digests) == 5


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("train_img.txt", "a.png\n", r"train_img\.txt has 1 lines and .*train_label\.txt has 2; line 2 of .*label"),
        ("train_label.txt", "1 0\n", r"train_img\.txt has 2 lines and .*train_label\.txt has 1; line 2 of .*img"),
        ("test_img.txt", "q.png\n\n", r"test_img\.txt, line 2 is empty"),
        ("database_label.txt", "1 0\n0 1\n1\n0 0\n1 0\n", r"database_label\.txt, line 3 has 1 values instead of 2"),
        ("database_label.txt", "1 0\n0 1\n1 1\n0 2\n1 0\n", r"database_label\.txt, line 4 holds '2'"),
        ("train_label.txt", "1 0 0\n0 1 0\n", r"database_label\.txt has 2 classes and .*train_label\.txt has 3"),
        ("test_img.txt", "q.png\nzebra.png\n", r"test_img\.txt, line 2: there is no image .*zebra\.png"),
    ],
)
def test_a_wrong_list_is_refused_by_file_and_line(folder: Path, file: str, content: str, message: str) -> None:
    (folder / file).write_text(content)
    with pytest.raises((BadInput, MissingData), match=message):
        read(folder)


def test_a_damaged_image_is_refused_by_name(folder: Path) -> None:
    (folder / "q.png").write_bytes(b"no image")
    split = read(folder)
    with pytest.raises(BadInput, match=r"q\.png can't be decoded as an image"):
        split.queries.images[torch.arange(1)]


def test_a_missing_list_says_from_whom_to_get_it(folder: Path) -> None:
    (folder / "database_label.txt").unlink()
    with pytest.raises(MissingData, match=r"there is no .*database_label\.txt; get it from"):
        read(folder)


def test_a_published_split_must_have_its_number_of_lines(folder: Path) -> None:
    with pytest.raises(BadInput, match=r"database_img\.txt has 5 lines instead of 23300.*'lists'"):
        flickr25k(root=folder)


def test_a_missing_folder_says_what_to_give(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    with pytest.raises(MissingData, match=r"nuswide:root=DIR, .*test_label\.txt; 'hashbench data nuswide"):
        nuswide()
    with pytest.raises(MissingData, match="there is no folder"):
        nuswide(root=tmp_path / "nowhere")


def test_a_folder_of_all_data_sets_can_stand_in_the_environment(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    parent = folder.parent
    (parent / "lists").symlink_to(folder)
    monkeypatch.setenv(DATA_VARIABLE, str(parent))
    assert lists(size=16).digest == read(folder).digest
    (parent / "lists").unlink()
