"""The papers' data sets, from a folder of photographs in their layout to a verified leaderboard, at 224 pixels."""

from __future__ import annotations

from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from command import hashbench
from PIL import Image

from hashbench.datasets.emoji_collage import photographs
from hashbench.datasets.list_files import DATA_VARIABLE, ORIGINS
from hashbench.registry.plugins import load_all

LAYOUTS = {
    "flickr25k": "mirflickr/im{}.jpg",
    "nuswide": "images/{:04}_2124494179.jpg",
    "coco": "val2014/COCO_val2014_{:012}.jpg",
}
LINES = {"database": range(12), "train": range(8), "test": range(12, 16)}
SGD = "optimiser=sgd,learning_rate=1e-3,weight_decay=5e-4,epochs=1,batch_size=4"


def lay_out(folder: Path, name: str) -> None:
    """Sixteen JPEGs, cut from photographs at random, with the six lists; each class has some images."""
    random = np.random.RandomState(0)
    for number in range(16):
        photograph = photographs()[number % 2].transpose(1, 2, 0)
        height, width = random.randint(230, 400, 2)
        top, left = random.randint(0, 427 - height + 1), random.randint(0, 640 - width + 1)
        path = folder / LAYOUTS[name].format(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(photograph[top : top + height, left : left + width]).save(path, quality=90)
    labels = random.randint(0, 2, (16, ORIGINS[name].classes or 0))
    for role, lines in LINES.items():
        (folder / f"{role}_img.txt").write_text("".join(f"{LAYOUTS[name].format(line)}\n" for line in lines))
        rows = (" ".join(map(str, labels[line])) for line in lines)
        (folder / f"{role}_label.txt").write_text("".join(f"{row}\n" for row in rows))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "network"), [("flickr25k", "vgg11"), ("nuswide", "resnet50"), ("coco", "vgg11")])
def test_a_papers_setting_runs_on_a_folder_in_its_layout(
    name: str, network: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in the suites of the papers, but with sixteen images, one epoch and random weights."""
    load_all()
    lay_out(tmp_path / name, name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
    words = ["run", "--dataset", name, "--backbone", f"{network}:weights=none", "--method", "dpsh:balance=no"]
    words += ["--device", "cpu", "--certify", "no", "--training", f"{SGD},schedule=thirds"]
    words += ["--defense", f"cgat:{SGD},schedule=halves,memory=relaxed,steps=1"]
    words += ["--attack", "pgd-hamming:steps=2,restarts=1"]
    with mock.patch.dict(ORIGINS[name].sizes, {}, clear=True):
        inspected = hashbench(capsys, monkeypatch, "data", name)
        assert "images: 16 of 16 found" in inspected.out
        assert "leaks: none" in inspected.out
        assert "4 cells (0 of them can't run)" in hashbench(capsys, monkeypatch, *words, "--dry-run").out
        done = hashbench(capsys, monkeypatch, *words)
    assert (done.code, done.err) == (0, "")
    (table,) = Path("leaderboards").rglob("results.csv")
    rows = pd.read_csv(table)
    assert len(rows) == 4
    assert (rows.status == "valid").all()
    assert set(rows.n_database) == {12}
    assert rows.linf_max.max() == pytest.approx(8 / 255, abs=1e-5)
    assert hashbench(capsys, monkeypatch, "verify", "leaderboards").code == 0
