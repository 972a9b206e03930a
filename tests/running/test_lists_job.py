"""The main job from a folder of JPEGs, with a network of torchvision at 224 pixels."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from command import hashbench
from safetensors.torch import save_file

from hashbench.datasets.fashion_mnist import DEBIAN

SCRIPT = Path(__file__).parents[2] / "scripts" / "fashion_jpegs.py"
needs_images = pytest.mark.skipif(not DEBIAN.is_dir(), reason="needs Debian's package dataset-fashion-mnist")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    subprocess.run([sys.executable, SCRIPT, tmp_path / "jpegs", "--images", "40"], check=True)
    return tmp_path / "jpegs"


@pytest.mark.slow
@needs_images
def test_the_main_job_runs_on_jpegs_with_alexnet(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    words = ["run", "--dataset", f"lists:root={folder}", "--backbone", "alexnet:weights=none", "--device", "cpu"]
    words += ["--training", "epochs=1,learning_rate=1e-4", "--defense", "cgat:epochs=1,steps=1,learning_rate=1e-4"]
    done = hashbench(capsys, monkeypatch, *words, "--attack", "pgd-hamming:steps=2,restarts=1")
    assert (done.code, done.err) == (0, "")
    (table,) = Path("leaderboards").rglob("results.csv")
    rows = pd.read_csv(table)
    assert (rows.status == "valid").all()
    assert len(rows) == 4
    assert set(rows.n_database) == {30}
    assert rows.linf_max.max() == pytest.approx(8 / 255, abs=1e-5)


@needs_images
def test_a_missing_weight_file_is_one_line_before_anything_is_trained(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    monkeypatch.setenv("TORCH_HOME", str(folder / "torch"))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    done = hashbench(capsys, monkeypatch, "run", "--dataset", f"lists:root={folder}", "--backbone", "resnet18")
    assert done.code == 2
    assert done.err.count("\n") == 1
    assert f"resnet18-f37072fd.pth at {folder}/torch/hub/checkpoints/resnet18-f37072fd.pth" in done.err
    assert not list(Path("runs").glob("models/*"))


def test_a_checkpoint_that_does_not_fit_is_refused_before_anything_is_trained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.chdir(tmp_path)
    save_file({"network.0.mean": torch.zeros(1, 1, 1, 1)}, "wrong.safetensors")
    done = hashbench(capsys, monkeypatch, "run", "--defense", "checkpoint:file=wrong.safetensors")
    assert done.code == 2
    assert "wrong.safetensors lacks network." in done.err
    assert not list(Path("runs").glob("models/*"))


@pytest.mark.usefixtures("undrawn")
def test_a_stored_model_comes_back_as_a_checkpoint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ("run", "--training", "epochs=1", "--attack", "noise")
    assert hashbench(capsys, monkeypatch, *words).code == 0
    (file,) = Path("runs/models").rglob("weights.safetensors")
    assert hashbench(capsys, monkeypatch, *words, "--defense", f"checkpoint:file={file}").code == 0
    (table,) = Path("leaderboards").rglob("results.csv")
    rows = pd.read_csv(table).set_index(["defense", "attack"])["map"]
    assert len(rows) == 4
    (name,) = set(rows.index.get_level_values(0)) - {"none"}
    assert name.startswith("checkpoint:file=sha256-")
    assert rows[name, "none"] == rows["none", "none"]
