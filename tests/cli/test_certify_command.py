"""Certificates of models of a store: held against what was measured on them."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from command import QUICK, Command, write_plugin

from hashbench.boards.certificates import KEPT
from hashbench.running.store import Store

pytestmark = pytest.mark.usefixtures("registries", "undrawn")
SUBJECT = (*QUICK, "--bits", "8", "--backbone", "cnn:width=4", "--eps", "1/255")


def test_a_certificate_stands_below_what_was_measured(command: Command) -> None:
    assert command("run", *SUBJECT, "--attack", "noise", "--attack", "pgd-hamming:steps=2,restarts=1").code == 0
    outcome = command("certify", *SUBJECT)
    assert outcome.code == 0
    (path,) = Path("leaderboards").glob("*/certificates.csv")
    (row,) = pd.read_csv(path).to_dict("records")
    assert (row["defense"], row["seed"], row["attacks"]) == ("none", 0, "noise pgd-hamming:steps=2,restarts=1")
    assert 0 < row["certified"] <= row["map_worst"] <= 1
    assert row["ci_low"] <= row["certified"] <= min(row["ci_high"], row["map_low_clean"])
    assert 0 < row["free_bits"] < 8
    assert f"certified {100 * row['certified']:.1f}" in outcome.out
    assert f"clean {100 * row['map_low_clean']:.1f} in the worst order of ties; " in outcome.out
    before = path.read_bytes()
    assert command("certify", *SUBJECT).code == 0
    assert path.read_bytes() == before


def test_a_certificate_of_a_restored_board_has_what_its_cells_know(command: Command) -> None:
    assert command("run", *SUBJECT).code == 0
    assert command("certify", *SUBJECT).code == 0
    (path,) = Path("leaderboards").glob("*/certificates.csv")
    before, store = path.read_bytes(), Store(Path("runs"))
    (stored,) = (store.certificate(folder.name) for folder in Path("runs/certificates").iterdir())
    assert stored
    kept = {name: array for name, array in store.certificate_arrays(stored).items() if name in KEPT}
    store.save_certificate(replace(stored, host={"created_utc": ""}, arrays_digest=""), kept)  # as `restore` does
    outcome = command("certify", *SUBJECT)
    assert outcome.code == 0, outcome.err
    assert path.read_bytes() == before
    assert " in the worst order of ties; " in outcome.out
    assert outcome.out.splitlines()[1].endswith(" % of the queries can't be touched")
    shutil.rmtree("runs/cells")
    outcome = command("certify", *SUBJECT)
    assert outcome.code == 0, outcome.err
    assert "not attacked yet; " in outcome.out
    assert pd.read_csv(path)["map_low_clean"].isna().all()


def test_an_ap_below_its_certificate_is_named_with_its_query(command: Command) -> None:
    command("run", *SUBJECT, "--attack", "noise")
    store = Store(Path("runs"))
    (noisy,) = (result for result in store.cells() if result.identity["attack"] == "noise")
    arrays = store.arrays(noisy)
    arrays["low"][7] = 0.0
    store.save_cell(replace(noisy, arrays_digest=""), arrays)
    outcome = command("certify", *SUBJECT)
    assert outcome.code == 1
    assert "beyond its certificate: undefended under noise, seed 0: query 7: an AP of 0.000000 is below" in outcome.err


def test_a_model_without_bounds_is_named_and_left_out(command: Command, tmp_path: Path) -> None:
    plugin = write_plugin(tmp_path, "unused", "return queries.images")
    outcome = command("certify", *SUBJECT, "--defense", "median", "--plugin", plugin)
    assert outcome.code == 0
    assert "median, seed 0: no certificate: " in outcome.out
    (path,) = Path("leaderboards").glob("*/certificates.csv")
    assert pd.read_csv(path).defense.tolist() == ["none"]


def test_a_file_or_a_row_is_certified_alone(command: Command) -> None:
    assert command("run", *SUBJECT, "--certify", "no").code == 0
    (result,) = Store(Path("runs")).cells()
    outcome = command("certify", result.key)
    assert outcome.code == 0, outcome.err
    (path,) = Path("leaderboards").glob("*/certificates.csv")
    (row,) = pd.read_csv(path).to_dict("records")
    assert row["defense"] == "none"
    (weights,) = Path("runs/models").glob("*/weights.safetensors")
    trained = len(list(Path("runs/models").iterdir()))
    outcome = command("certify", weights, *SUBJECT)
    assert outcome.code == 0, outcome.err
    (again,) = pd.read_csv(path).to_dict("records")
    assert command("certify", weights.rename(weights.with_name("a, b.safetensors")), *SUBJECT).code == 0
    for what, option, value in (("a.pth", "--defense", "cgat"), (result.key, "--bits", "16"), ("a.pth", "--amp", None)):
        Path("a.pth").touch()
        refused = command("certify", what, option, *([value] if value else []))
        assert (refused.code, refused.err) == (2, f"error: {option} says nothing of {what}; leave one of them out\n")
    assert again["defense"].startswith("checkpoint:file=")
    assert (again["certified"], again["free_bits"]) == (row["certified"], row["free_bits"])
    assert len(list(Path("runs/models").iterdir())) == trained
    for absent in ("absent.pth", "0123456789abcdef"):
        outcome = command("certify", absent, "--bits", "16", "--store", "nowhere")
        assert "is neither a file nor the config_digest of a row" in outcome.err
        assert not Path("nowhere").exists()
    outcome = command("certify", "0123456789abcdef")
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert "is neither a file nor the config_digest of a row" in outcome.err
