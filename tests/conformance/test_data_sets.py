"""What `hashbench data` says."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from hashbench.conformance.data_sets import DataLine, inspect_lists, inspect_split, relevance_counts
from hashbench.datasets.digits import digits
from hashbench.models.data import split_of_tensors


def folder_of(path: Path, lists: dict[str, tuple[str, str]]) -> Path:
    for role, (names, rows) in lists.items():
        (path / f"{role}_img.txt").write_text(names.replace(" ", "\n") + "\n")
        (path / f"{role}_label.txt").write_text("\n".join(" ".join(row) for row in rows.split()) + "\n")
    return path


def words(lines: Iterator[DataLine]) -> str:
    return "\n".join(line.text for line in lines)


def test_lists_alone_are_described_and_the_rest_is_called_missing(tmp_path: Path) -> None:
    folder_of(
        tmp_path, {"database": ("a b c d", "10 01 11 00"), "train": ("a b a", "10 01 10"), "test": ("q r", "10 00")}
    )
    text = words(inspect_lists("lists", tmp_path, 224, 8 / 255))
    assert "train: 3 lines, 2 unique images (1 listed 2 times)" in text
    assert "1.00 labels an image (at most 2), 1 without a label, 4 label sets" in text
    assert "overlap: 2 of 2 images of train are in database" in text
    assert "overlap: 0 of 2 images of queries are in database" in text
    assert "chance mAP: 25.0 (mean relevant share of the database, over all 2 queries)" in text
    assert "images: 0 of 6 found" in text
    assert f"missing: 6 images, the first one {tmp_path}/a; get them from" in text
    assert "split digest: none yet" in text


def test_without_a_database_list_chance_comes_from_train_and_the_missing_files_are_named(tmp_path: Path) -> None:
    folder_of(tmp_path, {"train": ("a b", "10 01"), "test": ("q", "10")})
    text = words(inspect_lists("lists", tmp_path, 224, 8 / 255))
    assert "chance mAP: 50.0 (mean relevant share of train, since the database's lists are missing" in text
    for name in ("database_img.txt", "database_label.txt"):
        assert f"missing: {tmp_path / name}; get it from whoever made the folder" in text


def test_a_data_set_in_memory_is_described() -> None:
    split = digits()
    text = words(inspect_split("digits", split))
    assert "database: 1297 images; 10 classes of" in text
    assert f"split digest: {split.digest}" in text


def test_classes_of_one_size_are_said_so() -> None:
    part = torch.rand(6, 1, 8, 8), torch.arange(6) % 3
    text = words(inspect_split("mine", split_of_tensors(queries=part, database=(part[0], [0, 0, 1, 1, 1, 2]), eps=0.1)))
    assert "queries: 6 images; 3 classes of 2 images each, 1.00 labels an image" in text
    assert "database: 6 images; 3 classes of 1 to 3 images, 1.00" in text


def test_relevant_items_are_counted_for_each_query() -> None:
    labels = torch.tensor([[1.0, 0], [0, 1], [1, 1], [0, 0]])
    counts = relevance_counts(labels, labels)
    assert counts.relevant[:, 0].tolist() == [2, 2, 3, 0]
    assert (counts.items == 4).all()


PUBLISHED = Path(os.environ.get("HASHBENCH_LISTS", "data/lists"))  # with FLICKR-25K, NUS-WIDE and MS-COCO


@pytest.mark.skipif(not (PUBLISHED / "FLICKR-25K").is_dir(), reason="needs the published lists in $HASHBENCH_LISTS")
def test_the_published_lists_give_the_known_numbers() -> None:
    text = words(inspect_lists("flickr25k", PUBLISHED / "FLICKR-25K", 224, 8 / 255))
    assert "4496 unique images (455 listed 2 times, 23 listed 3 times, 1 listed 4 times)" in text
    assert "38 without a label" in text
    assert "chance mAP: 53.3" in text


@pytest.mark.skipif(not (PUBLISHED / "NUS-WIDE").is_dir(), reason="needs the published lists in $HASHBENCH_LISTS")
@pytest.mark.parametrize(("name", "folder", "level"), [("nuswide", "NUS-WIDE", 45.2), ("coco", "MS-COCO", 35.3)])
def test_published_lists_without_a_database_give_chance_on_train(name: str, folder: str, level: float) -> None:
    text = words(inspect_lists(name, PUBLISHED / folder, 224, 8 / 255))
    assert f"chance mAP: {level} (mean relevant share of train" in text
    assert "database_img.txt; get it from" in text
    assert ", 0 without a label" in text
