from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from sklearn.datasets import load_digits
from small_files import write_cifar10, write_fashion
from toys import pixels

from hashbench.datasets import cifar10 as cifar10_module
from hashbench.datasets.cifar10 import cifar10, draw_roles
from hashbench.datasets.digits import digit_pools, digits, read_table
from hashbench.datasets.digits_collage import digits_collage
from hashbench.datasets.fashion_mnist import DEBIAN, fashion_mnist
from hashbench.errors import BadParameter, MissingData
from hashbench.models.data import ImageSet, RetrievalSplit


def images_of(role: ImageSet) -> set[bytes]:
    return {image.numpy().tobytes() for image in pixels(role)}


def assert_sound(split: RetrievalSplit) -> None:
    for role in (split.train, split.queries, split.validation, split.database):
        assert pixels(role).min() >= 0
        assert pixels(role).max() <= 1
        assert set(role.labels.flatten().tolist()) <= {0, 1}
        assert pixels(role).shape[1:] == (split.channels, split.size, split.size)
    assert images_of(split.train) <= images_of(split.database)
    assert not images_of(split.queries) & images_of(split.validation)
    assert not images_of(split.validation) & images_of(split.train)


def test_digits() -> None:
    split = digits()
    assert_sound(split)
    assert [len(role) for role in (split.train, split.queries, split.validation, split.database)] == [
        1000,
        300,
        200,
        1297,
    ]
    assert split.eps == 32 / 255
    assert (split.queries.labels.sum(1) == 1).all()
    assert split.digest == digits().digest


def test_digits_are_those_that_scikit_learn_reads() -> None:
    bunch, table = load_digits(), read_table()
    assert np.array_equal(table[:, :64].reshape(-1, 8, 8), bunch.images)
    assert np.array_equal(table[:, 64], bunch.target)


def test_missing_digits_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hashbench.datasets.digits.find_spec", lambda name: None)
    with pytest.raises(MissingData, match="no digits at"):
        read_table()


def test_collages_hold_one_to_three_digits_of_disjoint_pools() -> None:
    split = digits_collage()
    assert_sound(split)
    assert [len(role) for role in (split.train, split.queries, split.database)] == [2000, 300, 4000]
    assert split.digest == digits_collage().digest
    pools = [images_of(pool) for pool in digit_pools()]
    for pool, role in zip(pools, (split.queries, split.validation, split.database), strict=True):
        cells = pixels(role).unfold(2, 8, 8).unfold(3, 8, 8).reshape(len(role), 4, 8, 8)
        filled = cells.flatten(2).amax(2) > 0
        assert set(filled.sum(1).tolist()) == {1, 2, 3}
        assert {cell.contiguous().numpy().tobytes() for cell in cells[filled]} <= pool
        assert (role.labels.sum(1) <= filled.sum(1)).all()
    relevant = (split.queries.labels @ split.database.labels.T > 0).float().mean()
    assert 0.25 < relevant < 0.4


@pytest.mark.skipif(not DEBIAN.is_dir(), reason="needs Debian's package dataset-fashion-mnist")
def test_fashion_mnist_reads_the_real_files() -> None:
    split = fashion_mnist(train=200, database=500, queries=100, validation=50)
    assert_sound(split)
    assert [len(role) for role in (split.train, split.queries, split.validation, split.database)] == [200, 100, 50, 500]
    assert split.eps == 8 / 255
    again = fashion_mnist(root=DEBIAN, train=200, database=500, queries=100, validation=50)
    assert again.digest == split.digest


@pytest.mark.parametrize("packed", [True, False])
def test_fashion_mnist_reads_a_folder(tmp_path: Path, packed: bool) -> None:
    write_fashion(tmp_path, packed)
    sizes = {"train": 5, "database": 20, "queries": 10, "validation": 10}
    assert_sound(fashion_mnist(root=tmp_path, **sizes))
    with pytest.raises(BadParameter, match="train=21 is more than database=20"):
        fashion_mnist(root=tmp_path, **(sizes | {"train": 21}))
    with pytest.raises(BadParameter, match="31 images requested from the test part, which has 30"):
        fashion_mnist(root=tmp_path, **(sizes | {"queries": 31}))


def test_fashion_mnist_names_what_is_missing_or_damaged(tmp_path: Path) -> None:
    with pytest.raises(MissingData, match="neither train-images-idx3"):
        fashion_mnist(root=tmp_path)
    with pytest.raises(MissingData, match="there is no folder"):
        fashion_mnist(root=tmp_path / "absent")
    write_fashion(tmp_path, packed=True)
    damaged = tmp_path / "train-labels-idx1-ubyte.gz"
    damaged.write_bytes(damaged.read_bytes()[:20])
    with pytest.raises(MissingData, match="train-labels-idx1-ubyte is damaged"):
        fashion_mnist(root=tmp_path)


def test_cifar10_draws_the_split_of_the_papers() -> None:
    classes = np.random.RandomState(1).permutation(np.repeat(np.arange(10), 6000))
    queries, train, database = draw_roles(classes)
    assert [len(role) for role in (queries, train, database)] == [1000, 5000, 54_000]
    assert len(set(queries) | set(train) | set(database)) == 60_000
    for role, number in ((queries, 100), (train, 500), (database, 5400), (database[:1000], 100)):
        assert (np.bincount(classes[role]) == number).all()


def test_cifar10_reads_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real loading code on small files of the official layout; only their checksums differ."""
    write_cifar10(tmp_path)
    with pytest.raises(MissingData, match="does not hold an intact"):
        cifar10(root=tmp_path)
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "_check_integrity", lambda self: True)
    monkeypatch.setattr(torchvision.datasets.cifar, "check_integrity", lambda *words: True)
    for name, number in (("QUERIES", 3), ("TRAIN", 9), ("VALIDATION", 4)):
        monkeypatch.setattr(cifar10_module, name, number)
    split = cifar10(root=tmp_path)
    roles = (split.train, split.queries, split.validation, split.database)
    assert [len(role) for role in roles] == [90, 30, 40, 180]
    assert split.channels == 3
    assert not images_of(split.queries) & images_of(split.database)
    assert torch.equal(pixels(split.validation), pixels(split.database)[:40])


def test_cifar10_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MissingData, match="there is no folder"):
        cifar10(root=tmp_path / "absent")

    def offline(*words: object, **more: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(torchvision.datasets, "CIFAR10", offline)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(MissingData, match="CIFAR10 can't be downloaded"):
        cifar10()
