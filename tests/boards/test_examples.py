"""Single attacked queries: the same numbers as in the table, and the right marks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from command import QUICK, hashbench

from hashbench.boards.examples import SHOWN, make_examples
from hashbench.boards.write import write_examples
from hashbench.running.request import Request, load_once
from hashbench.running.runner import run
from hashbench.running.store import Store

POSITIONS = (3, 7)
CPU = torch.device("cpu")


@pytest.mark.parametrize(("attack", "name"), [("noise", "average_precision"), ("p2p", "target_average_precision")])
def test_the_gallery_shows_what_the_table_measured(tmp_path: Path, attack: str, name: str) -> None:
    store, request = Store(tmp_path / "store"), Request(training="epochs=1", attacks=(attack,))
    clean, cell = request.resolve().cells(load_once())
    results = {result.identity["attack"]: result for result in run([clean, cell], store, CPU)}
    gallery = make_examples(cell, POSITIONS, store, CPU)
    arrays = store.arrays(results[cell.attack.label])
    for shown in gallery.queries:
        assert shown.after.average_precision == pytest.approx(arrays[name][shown.position])
        assert np.abs(shown.adversarial - shown.clean).max() <= cell.threat.eps + 1e-6
        assert shown.clean.shape == shown.adversarial.shape == (8, 8), "grey images have no third axis"
        assert len(shown.after.images) == len(shown.after.right) == SHOWN
        assert list(shown.after.distances) == sorted(shown.after.distances)
        nearest, relevant = (arrays[kind][shown.position].cumsum() for kind in ("items", "relevant"))
        last = shown.after.distances[-1]
        assert shown.after.tied == nearest[last]
        closer = [right for right, far in zip(shown.after.right, shown.after.distances, strict=True) if far < last]
        if attack == "noise":
            assert sum(closer) == (relevant[last - 1] if last else 0)
            assert sum(shown.after.right) > 0
            assert (sum(shown.after.right) - sum(closer) > 0) <= (relevant[last] > sum(closer))
    if attack == "noise":
        path = write_examples(gallery, tmp_path)
        assert path.name == "gallery-none--noise--seed0.png"
        assert b"query 7" in path.with_suffix(".svg").read_bytes()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--query", "5000"), "there is no query 5000; take 0 to 299"),
        (("--oblivious",), "leave out --oblivious"),
        (("--out", "/proc/nowhere"), "can't write /proc/nowhere"),
    ],
)
def test_wrong_words_are_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: tuple[str, ...],
    message: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    found = hashbench(capsys, monkeypatch, "gallery", "--attack", "noise", *QUICK, *words)
    assert found.code == 2
    assert message in found.err
    assert found.err.count("\n") == 1
    assert not list(Path("runs").glob("models/*"))
