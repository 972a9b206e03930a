"""A tiny leaderboard with its zoo: weights kept, checked, loaded, taken instead of trained, attacked and broken."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from command import QUICK, SMALL_MODEL, Command, make_runs_small, write_plugin
from safetensors.torch import load_file, save_file

import hashbench as hb
from hashbench.boards.evidence_files import read_breaks
from hashbench.boards.page import write_page
from hashbench.boards.query_files import read_arrays
from hashbench.evaluation.flags import meanings
from hashbench.models.weight_files import tensor_digest
from hashbench.readers.weight_files import read_metadata
from hashbench.registry import entries
from hashbench.verification.board import verify_board
from hashbench.verification.breaks import lowered, worst_of, write_break
from hashbench.verification.pictures import check_page
from hashbench.verification.rows import read_cells
from hashbench.verification.zoo import ZOO

pytestmark = pytest.mark.usefixtures("registries", "small_runs")

ATTACK = "pgd-hamming:steps=3,restarts=1"
TWO = ("--defense", "cgat:epochs=1,steps=1", "--defense", "median")
NAME = "digits-cnn-width-8-csq-32bit-clean-epochs-1-linf-32-255"


@pytest.fixture
def small_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """`verify` expects probes as small as those of the board, and no pictures."""
    make_runs_small(monkeypatch)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small store, its leaderboard, and the leaderboard's zoo."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patched:
        make_runs_small(patched)
        hb.run(
            "digits", ["cgat:epochs=1,steps=1", "median"], [ATTACK, "noise"], **SMALL_MODEL, device="cpu",
            store=folder / "runs", out=folder / "leaderboards", keep_models=True,
        )  # fmt: skip
    return folder


@pytest.fixture
def board(made: Path, tmp_path: Path) -> Path:
    """A copy of the leaderboard's folder, without the store."""
    return Path(shutil.copytree(made / "leaderboards" / NAME, tmp_path / "leaderboards" / NAME))


def test_the_zoo_holds_the_weights_of_each_trained_row_by_their_digest(made: Path) -> None:
    folder = made / "leaderboards" / NAME
    rows = pd.read_csv(folder / "results.csv").drop_duplicates("defense").set_index("defense")
    trained = rows.loc[["none", "cgat:epochs=1,steps=1"]]
    names = {path.name.removesuffix(".safetensors"): path for path in (folder / ZOO).iterdir()}
    assert set(names) == set(trained["model_digest"])
    for _, row in trained.iterrows():
        path = names[row["model_digest"]]
        tensors = load_file(path)
        assert tensor_digest(tensors) == row["model_digest"]
        assert {tensor.dtype for tensor in tensors.values()} <= {torch.float32, torch.int64}
        assert round(float(read_metadata(path)["train_forwards"]), 6) == row["train_forwards"]


def test_verify_accepts_a_zoo_and_a_board_without_one(board: Path) -> None:
    assert verify_board(board).problems == []
    shutil.rmtree(board / ZOO)
    assert verify_board(board).problems == []


def change_weights(path: Path) -> None:
    tensors = load_file(path)
    name = next(name for name, tensor in tensors.items() if tensor.is_floating_point())
    tensors[name] = tensors[name] + 1e-3
    save_file(tensors, path, read_metadata(path))


def change_key(path: Path) -> None:
    save_file(load_file(path), path, {**read_metadata(path), "key": "0" * 16})


def change_passes(path: Path) -> None:
    save_file(load_file(path), path, {**read_metadata(path), "train_forwards": "3.5"})


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (change_weights, "holds weights with the digest"),
        (change_key, "says that it is another model than that of"),
        (change_passes, "says that train_forwards is 3.5, the row of"),
        (lambda path: path.rename(path.with_name("0123456789abcdef.safetensors")), "belongs to no row"),
        (lambda path: path.write_bytes(path.read_bytes()[:-9]), "is not an intact safetensors file"),
    ],
)
def test_verify_names_what_is_wrong_with_a_zoo(board: Path, spoil: object, message: str) -> None:
    assert callable(spoil)
    spoil(sorted((board / ZOO).iterdir())[0])
    (problem,) = verify_board(board).problems
    assert message in problem


def test_verify_rerun_needs_neither_the_store_nor_a_training(board: Path, command: Command) -> None:
    outcome = command("verify", board, "--rerun", "20", "--seed", "1", "--device", "cpu")
    assert outcome.code == 0, outcome.out
    assert not Path("runs").exists()
    change_key(sorted((board / ZOO).iterdir())[0])
    refused = command("verify", board, "--rerun", "5", "--device", "cpu")
    assert refused.code == 1
    assert "the store has no model of it" in refused.out


def test_a_run_takes_models_of_the_zoo_instead_of_training_and_gets_the_same_rows(
    board: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (board / "results.csv").read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr("hashbench.training.guided.fit", None)
        patched.setattr("hashbench.training.undefended.fit", None)
        outcome = command("run", *QUICK, *TWO, "--attack", ATTACK, "--attack", "noise", "--keep-models")
    assert outcome.code == 0, outcome.err
    assert "the zoo in leaderboards, not trained: undefended, seed 0; cgat:epochs=1,steps=1, seed 0" in outcome.err
    assert (board / "results.csv").read_bytes() == before
    refused = command("run", *QUICK, "--attack", ATTACK, "--seed", "1", "--zoo", "runs")
    assert "has weights of 2 models that are not of this board" in refused.err
    assert len(list((board / ZOO).iterdir())) == 2


def test_a_published_row_is_a_model_with_its_number(board: Path) -> None:
    model = hb.load_model("digits/cgat", boards=board.parent)
    assert not model.training
    report = hb.evaluate(model, "digits", attacks="noise", probe=False, certificate=False)
    row = pd.read_csv(board / "results.csv").query("defense == 'cgat:epochs=1,steps=1' and attack == 'none'")
    assert round(report.map_clean, 6) == row["map"].item()
    median = hb.load_model("digits/median", boards=board)
    assert type(next(median.network.children())).__name__ != "Conv2d"


@pytest.mark.parametrize(
    ("name", "seed", "message"),
    [
        ("cgat", 0, "'cgat' names no row; write DATASET/DEFENSE"),
        ("digts/cgat", 0, "no leaderboard is of 'digts'; did you mean 'digits'?"),
        ("digits/cgta", 0, "no leaderboard of digits has the defense 'cgta'"),
        ("digits/cgat", 7, "digits/cgat:epochs=1,steps=1 has no row of seed 7; it has 0"),
    ],
)
def test_a_row_that_is_not_there_is_one_line(board: Path, name: str, seed: int, message: str) -> None:
    with pytest.raises(hb.HashbenchError, match=re.escape(message)):
        hb.load_model(name, seed, boards=board.parent)


def test_weights_that_are_not_there_are_one_line(board: Path, made: Path) -> None:
    shutil.rmtree(board / ZOO)
    with pytest.raises(hb.HashbenchError, match=r"its weights are not in .*; name a store that has them") as caught:
        hb.load_model("digits/cgat", boards=board.parent)
    assert "\n" not in str(caught.value)
    assert hb.load_model("digits/cgat", boards=board.parent, store=made / "runs").bits == 32


def test_attack_board_says_which_rows_a_new_attack_lowers(board: Path, command: Command, tmp_path: Path) -> None:
    digests = (board / "digests.json").read_bytes()
    body = "return threat.project(queries.images - 0.2 * queries.random(), queries.images)"
    plugin = write_plugin(tmp_path, "mine", body)
    words = ("--plugin", plugin, "--attack", "mine", "--attack", ATTACK, "--device", "cpu")
    with entries.restored():
        outcome = command("attack-board", board, *words)
    assert outcome.code == 0, outcome.err
    table = pd.read_csv(next(board.glob("attack-board-mine--pgd-hamming*.csv")))
    assert set(table["defense"]) == {"none", "cgat:epochs=1,steps=1", "median"}
    again = table[table["attack"] == ATTACK].set_index("defense")
    assert (again["map_attack"] == again["map_attack_on_board"]).all()
    assert (again["change"] == 0).all()
    results = pd.read_csv(board / "results.csv").query("attacker == 'adaptive'").set_index(["defense", "attack"])["map"]
    for defense, value in again["map_attack"].items():
        assert value == results.loc[[(str(defense), ATTACK)]].item()
    new = table[table["attack"] == "mine"].set_index("defense")
    assert new["map_attack_on_board"].isna().all()
    assert (new["map_worst_now"] <= new["map_worst"]).all()
    assert (new["change"] <= 0).all()
    for defense, value in new["map_attack"].items():
        assert f"{'undefended' if defense == 'none' else defense} under mine: {100 * value:.1f}" in outcome.out
    assert (board / "digests.json").read_bytes() == digests
    assert verify_board(board).problems == []
    only = hb.attack_board(board, [ATTACK], defenses=["none"], store="other", out="mine.csv")
    assert only.path == Path("mine.csv")
    assert only.table["map_attack"].item() == results.loc[[("none", ATTACK)]].item()
    assert not list(Path("other").glob("*/trainings/*"))


def test_attack_board_names_models_that_are_not_to_be_had(board: Path, tmp_path: Path) -> None:
    row = pd.read_csv(board / "results.csv").query("defense == 'cgat:epochs=1,steps=1'").iloc[0]
    (board / ZOO / f"{row['model_digest']}.safetensors").unlink()
    found = hb.attack_board(board, ["noise"], store=tmp_path / "zoo").table.set_index("defense").sort_index()
    assert re.search("the store has no model of it.*a store of models", str(found.loc["cgat:epochs=1,steps=1", "note"]))
    assert list(found.index[found["map_attack"].notna()]) == ["median", "none"]
    for wrong, message in (
        ({"attacks": ["p2p"]}, "no untargeted"),
        ({"attacks": ["patch-hamming"]}, "patch-hamming does not work with norm linf; it works with patch"),
        ({"attacks": ["noise"], "defenses": ["x"]}, "no row"),
    ):
        with pytest.raises(hb.HashbenchError, match=message):
            hb.attack_board(board, store=tmp_path / "zoo", **wrong)  # type: ignore[arg-type]


@pytest.fixture
def images(board: Path, tmp_path: Path) -> Path:
    """Adversarial images against the undefended row, stronger than those of its table."""
    model, split = hb.load_model("digits/none", boards=board), entries.datasets["digits"].function()
    clean, labels = split.queries.images[torch.arange(50)], split.queries.labels[:50]
    with hb.frozen(model):
        guide = hb.center_code(hb.binarize(hb.encode(model, split.database)), split.database.labels, labels)
        found = clean.clone()
        for _ in range(30):
            found.requires_grad_()
            (gradient,) = torch.autograd.grad((model(found) * guide).sum(), found)
            found = hb.Threat(split.eps).project(found.detach() - 0.02 * gradient.sign(), clean)
    path = tmp_path / "images.npz"
    np.savez(path, images=found.numpy()[::-1], index=np.arange(50)[::-1])
    return path


def test_images_made_elsewhere_lower_a_row_with_credit(board: Path, images: Path, command: Command) -> None:
    tables = {path.name: path.read_bytes() for path in board.glob("*.csv")}
    outcome = command("break", "digits/none", images, "--by", "A. Author, 2027", "--boards", board)
    assert outcome.code == 0, outcome.err
    ((name, facts),) = read_breaks(board)
    assert facts.by == "A. Author, 2027"
    assert facts.n_lowered > 0
    assert facts.map_broken < facts.map_worst
    worst = pd.read_csv(board / "ranking.csv").set_index("defense")["map_worst"]["none"]
    assert facts.map_worst == pytest.approx(worst, abs=1e-6)
    assert facts.line in " ".join(outcome.out.split())
    assert {path.name: path.read_bytes() for path in board.glob("*.csv")} == tables
    found = verify_board(board)
    assert found.problems == []
    assert any(facts.line in note for note in found.notes)
    page = write_page(board.parent, meanings())
    assert f"→ {100 * facts.map_broken:.1f} by A. Author, 2027" in page.read_text(encoding="utf-8")
    assert check_page(board.parent).problems == []
    record = json.loads((board / name).read_text())
    (board / name).write_text(json.dumps({**record, "map_broken": 0.01}))
    assert any("was changed after it was written" in line for line in verify_board(board).problems)


def test_verify_encodes_the_images_of_broken_rows_again(board: Path, images: Path, command: Command) -> None:
    facts, record = hb.break_row("digits/none", images, by="me", boards=board)
    assert record is not None
    assert command("verify", board, "--device", "cpu").code == 0
    given, index, forged = read_arrays(record.with_suffix(".npz")).values()
    shutil.rmtree(record.parent)
    after, count = lowered(worst_of(read_cells(board), "none", 0), index, forged / 2)
    facts = replace(facts, n_lowered=count, map_broken=float(np.nanmean(after)))
    write_break(board, torch.from_numpy(given), torch.from_numpy(index), forged / 2, facts)
    assert verify_board(board).problems == []
    assert f"of {len(index)} queries have another AP" in command("verify", board, "--device", "cpu").out


def test_images_that_break_the_rules_are_one_line(board: Path, images: Path, tmp_path: Path) -> None:
    with np.load(images) as held:
        good, index = held["images"], held["index"]
    far = good.copy()
    far[3, 0, 0, 0] = (far[3, 0, 0, 0] + 0.5) % 1
    lost = good.copy()
    lost[0] = np.nan
    cases = (
        ({"images": far, "index": index}, f"the image of query {index[3]} is refused: a pixel moved by"),
        ({"images": lost, "index": index}, "has NaN or infinite pixels"),
        ({"images": good}, "it has 50 images for 300 queries"),
        ({"images": good, "index": index + 280}, "its index must be a different position from 0 to 299"),
        ({"images": good[:, :, 1:], "index": index}, "its images have shape"),
        ({"pictures": good}, "wanted are images and index"),
    )
    path = tmp_path / "wrong.npz"
    for arrays, message in cases:
        np.savez(path, **arrays)
        with pytest.raises(hb.HashbenchError, match=message) as caught:
            hb.break_row("digits/none", path, by="me", boards=board)
        assert "\n" not in str(caught.value)
    cells = read_cells(board)
    (unattacked,) = (a for r, a in cells if (r.identity["defense"], r.identity["attack"]) == ("none", "none"))
    weak = np.flatnonzero(unattacked["average_precision"] >= worst_of(cells, "none", 0))
    clean = entries.datasets["digits"].function().queries.images[torch.from_numpy(weak)]
    np.savez(path, images=clean.numpy(), index=weak)
    facts, record = hb.break_row("digits/none", path, by="me", boards=board)
    assert (facts.n_lowered, record) == (0, None)
    assert not (board / "broken").exists()
