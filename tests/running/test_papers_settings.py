"""The papers' data sets, from a folder of photographs in their layout to a verified leaderboard, at 224 pixels."""

from __future__ import annotations

import re
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from command import hashbench, make_probes_small
from PIL import Image

from hashbench.datasets.emoji_collage import photographs
from hashbench.datasets.list_files import ORIGINS
from hashbench.digests import DATA_VARIABLE
from hashbench.registry.plugins import load_all
from hashbench.running.suite import read_suite

LAYOUTS = {
    "flickr25k": "mirflickr/im{}.jpg",
    "nuswide": "images/{:04}_2124494179.jpg",
    "coco": "val2014/COCO_val2014_{:012}.jpg",
}
LINES = {"database": range(8), "train": range(4), "test": range(8, 10)}
SMALL = {"epochs": 1, "batch_size": 4, "steps": 2}


def lay_out(folder: Path, name: str) -> None:
    """Ten JPEGs, cut from photographs at random, with the six lists; each class has some images."""
    random = np.random.RandomState(0)
    for number in range(10):
        photograph = photographs()[number % 2].transpose(1, 2, 0)
        height, width = random.randint(230, 400, 2)
        top, left = random.randint(0, 427 - height + 1), random.randint(0, 640 - width + 1)
        path = folder / LAYOUTS[name].format(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(photograph[top : top + height, left : left + width]).save(path, quality=90)
    labels = random.randint(0, 2, (10, ORIGINS[name].classes or 0))
    for role, lines in LINES.items():
        (folder / f"{role}_img.txt").write_text("".join(f"{LAYOUTS[name].format(line)}\n" for line in lines))
        rows = (" ".join(map(str, labels[line])) for line in lines)
        (folder / f"{role}_label.txt").write_text("".join(f"{row}\n" for row in rows))


def write_suite(path: Path, name: str, network: str) -> None:
    """The run of a data set and a network in the suite of CgAT, with one epoch, few steps and random weights."""
    request = next(r for r in read_suite("cgat-www23").requests if (r.dataset, r.backbone) == (name, network))
    (defense,) = (text for text in request.defenses if text.startswith("cgat:"))
    (attack,) = (text for text in request.attacks if text.startswith("pgd-hamming:"))
    found = {
        "dataset": name, "backbone": f"{network}:weights=none", "method": request.method, "eps": request.eps,
        "training": small(request.training), "defense": f"{small(defense)},steps=1", "attack": small(attack),
    }  # fmt: skip
    path.write_text("".join(["[[run]]\nbits = 16\n", *(f'{key} = "{value}"\n' for key, value in found.items())]))


def small(text: str) -> str:
    for name, value in SMALL.items():
        text = re.sub(rf"\b{name}=\d+", f"{name}={value}", text)
    return text


@pytest.mark.slow
@pytest.mark.parametrize(("name", "network"), [("flickr25k", "vgg11"), ("nuswide", "resnet50"), ("coco", "vgg11")])
def test_a_papers_setting_runs_on_a_folder_in_its_layout(
    name: str,
    network: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    undrawn: None,
) -> None:
    """Folder check, forecast, run, board and its check, with ten images."""
    load_all()
    make_probes_small(monkeypatch)
    lay_out(tmp_path / name, name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
    write_suite(Path("small.toml"), name, network)
    words = ("run", "--suite", "small.toml", "--device", "cpu", "--certify", "no")
    with mock.patch.dict(ORIGINS[name].sizes, {}, clear=True):
        inspected = hashbench(capsys, monkeypatch, "data", name)
        assert "images: 10 of 10 found" in inspected.out
        assert "leaks: none" in inspected.out
        assert "4 cells (0 of them can't run)" in hashbench(capsys, monkeypatch, *words, "--dry-run").out
        done = hashbench(capsys, monkeypatch, *words)
    assert (done.code, done.err) == (0, "")
    (table,) = Path("leaderboards").rglob("results.csv")
    rows = pd.read_csv(table)
    assert len(rows) == 4
    assert (rows.status == "valid").all()
    assert set(rows.n_database) == {8}
    assert rows.linf_max.max() == pytest.approx(8 / 255, abs=1e-5)
    assert hashbench(capsys, monkeypatch, "verify", "leaderboards").code == 0
