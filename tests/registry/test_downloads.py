"""Where downloads are forbidden, what is not here is one line, and nothing is fetched."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision

from hashbench.backbones.torchvision_models import hash_network
from hashbench.datasets.cifar10 import cifar10
from hashbench.datasets.download import torchvision_folder
from hashbench.errors import MissingData
from hashbench.registry import entries
from hashbench.registry.downloads import no_downloads
from hashbench.registry.spec import Spec
from hashbench.running.checkpoints import model_key
from hashbench.running.request import Request, load_once
from hashbench.running.store import Result, Store, StoredTensors
from hashbench.verification.rerun import rerun


@pytest.fixture(autouse=True)
def _nothing_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Empty caches, and a network that no test may use."""

    def fetched(*words: object, **more: object) -> None:
        raise AssertionError("something was fetched")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", fetched)
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "download", fetched)


def test_weights_and_data_are_not_fetched() -> None:
    with no_downloads("nobody wants it"):
        with pytest.raises(MissingData, match=r"ImageNet weights is not here, and nobody wants it; put https"):
            hash_network("alexnet", 8, 3, 224, "default")
        with pytest.raises(MissingData, match=r"CIFAR10 is not here, and nobody wants it; fetch it with 'hashbench"):
            cifar10()


def test_data_that_are_here_are_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked = []

    def here(folder: Path, *, download: bool) -> None:
        asked.append(download)

    monkeypatch.setattr(torchvision.datasets, "CIFAR10", here)
    with no_downloads("nobody wants it"):
        assert torchvision_folder("CIFAR10", "give it") == tmp_path / "hashbench"
    assert torchvision_folder("CIFAR10", "give it") == tmp_path / "hashbench"
    assert asked == [False, True]


def test_after_the_block_downloads_are_allowed_again() -> None:
    with no_downloads("nobody wants it"):
        pass
    with pytest.raises(AssertionError, match="something was fetched"):
        cifar10()


@pytest.mark.parametrize(
    ("changed", "what"),
    [({"dataset": "cifar10"}, "CIFAR10"), ({"backbone": "resnet18"}, "resnet18's ImageNet weights")],
)
def test_verify_fetches_nothing_that_a_row_names(changed: dict[str, str], what: str, tmp_path: Path) -> None:
    (cell,) = Request().resolve().cells(load_once())
    subject = replace(cell.subject, backbone=entries.backbones.choose(Spec(changed.get("backbone", "cnn"))))
    cell, store = replace(cell, subject=subject), Store(tmp_path)
    store.save_model(model_key(cell), StoredTensors({"weight": torch.zeros(1)}))
    row = Result(cell.key, {**cell.identity, **changed}, {}, {})
    (problem,) = rerun([(row, {"average_precision": np.ones(9)})], store, 3, 0, torch.device("cpu"))
    assert f"{what} is not here, and verify fetches nothing that a row names" in problem
    assert "\n" not in problem
