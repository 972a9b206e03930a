from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from command import QUICK, hashbench, make_probes_small, work_in
from safetensors.torch import load_file, save_file
from tampering import (
    Spoil,
    Trap,
    arrays,
    bare_pickle,
    change,
    drop_row,
    fewer_queries,
    harder_attack,
    objects,
    other_places,
    repeat_row,
    set_first,
    swap,
    truncate,
)  # fmt: skip

from hashbench.boards.query_files import write_digests
from hashbench.digests import intact, signed
from hashbench.running.store import Store
from hashbench.verification.board import verify_board
from hashbench.verification.findings import Findings
from hashbench.verification.rerun import disagreement, rerun
from hashbench.verification.submission import pack, verify_submission

CPU = torch.device("cpu")


@pytest.fixture(scope="module", autouse=True)
def _small() -> Iterator[None]:
    """Probes as small as those of `made`, whose number of queries is checked."""
    with pytest.MonkeyPatch.context() as patch:
        make_probes_small(patch)
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small store and its leaderboard."""
    folder = tmp_path_factory.mktemp("made")
    attacks = ("--attack", "pgd-hamming:steps=2,restarts=1", "--attack", "p2p:preset=quick")
    done = work_in(folder, "run", *QUICK, "--certify", "no", "--defense", "cgat:epochs=1,steps=1", *attacks)
    assert done.code == 0, done.err
    return folder


@pytest.fixture
def board(made: Path, tmp_path: Path) -> Path:
    """A copy of the leaderboard's folder."""
    (source,) = (made / "leaderboards").iterdir()
    return Path(shutil.copytree(source, tmp_path / source.name))


def test_a_leaderboard_comes_out_the_same(board: Path) -> None:
    found = verify_board(board)
    assert found.problems == []
    assert len(found.cells) == 6


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        pytest.param(change("map", "0.9"), "results.csv: map of none under pgd-hamming", id="map"),
        pytest.param(change("eps", "0.031373", slice(None)), "eps of none under none, seed 0 is 0.031373", id="eps"),
        pytest.param(change("eps", "0.031373"), "mixes rows of different eps: 0.031373, 0.12549", id="one-eps"),
        pytest.param(swap, "npz belongs to none under p2p", id="swapped"),
        pytest.param(truncate, "npz is damaged or no .npz file", id="truncated"),
        pytest.param(change("map", "nan"), "map of none under pgd-hamming:steps=2,restarts=1, seed 0 is nan", id="nan"),
        pytest.param(arrays("l2", set_first(float("nan"))), "l2 holds NaN or infinity", id="nan-inside"),
        pytest.param(fewer_queries, "cells have 299 and 300 queries", id="queries"),
        pytest.param(other_places, "rows are not the places of the queries that are probed", id="probed"),
        pytest.param(arrays("codes", lambda a: a[:-1]), "codes is uint8 [299, 4]; wanted [300, 4]", id="shape"),
        pytest.param(change("split_digest", "0" * 16, slice(None)), "split_digest of none under none", id="data"),
        pytest.param(repeat_row, "appears twice", id="duplicate"),
        pytest.param(change("schema_version", "2", slice(None)), "results.csv has schema_version 2", id="schema"),
        pytest.param(change("protocol_version", "2"), "results.csv has protocol_version 2", id="protocol"),
        pytest.param(arrays("average_precision", set_first(0.987)), "APs are not those of its counts", id="aps"),
        pytest.param(arrays("linf", set_first(0.2)), "a pixel moved by 51/255, the row's eps is 32/255", id="budget"),
        pytest.param(harder_attack, "a field of it was changed", id="identity"),
        pytest.param(drop_row, "belongs to no row", id="dropped"),
        pytest.param(change("map_worst", "0.9", slice(0, 1), "ranking.csv"), "ranking.csv: map_worst of", id="ranking"),
        pytest.param(change("none", "0.9", slice(0, 1), "matrix.csv"), "matrix.csv: none of none", id="matrix"),
        pytest.param(objects, "holds Python objects, which are never loaded", id="objects"),
        pytest.param(bare_pickle, "npz is damaged or no .npz file", id="pickle"),
    ],
)
def test_each_tampering_is_named(board: Path, spoil: Spoil, message: str) -> None:
    spoil(board)
    write_digests(board)
    problems = verify_board(board).problems
    assert any(message in problem for problem in problems), problems
    assert not (board.parent / "sprung").exists()


def test_any_edit_is_seen_in_the_digests_and_a_dirty_tree_is_named(board: Path) -> None:
    change("code_dirty", "True", slice(None), "provenance.csv")(board)
    change("platform", "elsewhere", slice(None), "provenance.csv")(board)
    (board / "queries" / "more.npz").write_bytes(b"")
    (board / "matrix.png").unlink()
    found = verify_board(board)
    assert {line.partition(" ")[0] for line in found.problems} >= {"provenance.csv", "queries/more.npz", "matrix.png"}
    assert found.warnings == ["6 of 6 cells were made from a dirty working tree"]


def test_the_command_says_what_is_wrong_by_its_exit_code(
    board: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = hashbench(capsys, monkeypatch, "verify", board.parent)
    assert (outcome.code, outcome.err) == (0, "")
    assert "verified, 6 cells recomputed" in outcome.out
    repeat_row(board)
    outcome = hashbench(capsys, monkeypatch, "verify", board)
    assert outcome.code == 1
    assert "REFUSED" in outcome.out
    assert "problem: results.csv was changed after it was written" in outcome.out
    outcome = hashbench(capsys, monkeypatch, "verify", board / "queries")
    assert outcome.code == 2
    assert "has no results.csv and no run.json in it" in outcome.err


def inflate(board: Path, found: Findings) -> Findings:
    """Put clean queries in place of some attacked ones, in files that agree with one another."""
    cells = {(r.identity["defense"], r.identity["attack"].partition(":")[0]): (r, a) for r, a in found.cells}
    result, attacked = cells["none", "pgd-hamming"]
    clean = cells["none", "none"][1]
    chosen = np.arange(300) % 3 == 0
    mixed = {
        name: np.where(chosen.reshape(-1, *[1] * (array.ndim - 1)), clean[name], array) if array.ndim else array
        for name, array in attacked.items()
    }
    return Findings(cells=[(result, mixed)])


def test_queries_that_are_attacked_again_give_the_same_and_others_are_seen(made: Path, board: Path) -> None:
    found = verify_board(board)
    assert rerun(found.cells, Store(made / "runs"), 10, 0, CPU) == []
    (problem,) = rerun(inflate(board, found).cells, Store(made / "runs"), 30, 1, CPU)
    assert problem.startswith("none under pgd-hamming:steps=2,restarts=1, seed 0: attacked again,")


@pytest.mark.parametrize("digest_too", [False, True])
def test_a_flipped_weight_is_seen(made: Path, board: Path, tmp_path: Path, digest_too: bool) -> None:
    root = Path(shutil.copytree(made / "runs", tmp_path / "runs"))
    store = Store(root)
    for folder in (root / "models").iterdir():
        tensors = load_file(folder / "weights.safetensors")
        name = next(name for name in tensors if name.endswith("weight"))
        tensors[name].view(-1)[0] *= -1
        if digest_too:
            weights = store.model(folder.name)
            assert weights is not None
            store.save_model(folder.name, type(weights)(tensors, weights.facts))
        else:
            save_file(tensors, folder / "weights.safetensors")
    problems = rerun(verify_board(board).cells, store, 3, 0, CPU)
    assert len(problems) == 6
    wanted = "it is another model" if digest_too else "the checkpoint was changed after it was written"
    assert all(wanted in problem for problem in problems)


@pytest.mark.parametrize("share", [1.0, 0.25])
def test_a_row_inflated_by_three_points_is_refused(share: float) -> None:
    """In 200 of 200 or nearly: all queries a little better, or a quarter of them by 12 points."""
    refused = 0
    for stream in range(200):
        random = np.random.default_rng(stream)
        truth = 0.8 * random.random(300)
        stored = truth + (random.permutation(300) < share * 300) * 0.03 / share
        drawn = random.choice(300, 30, replace=False)
        refused += bool(disagreement(stored[drawn], truth[drawn], random=False))
        assert not disagreement(truth[drawn], truth[drawn], random=False)
    assert refused >= 190


def test_a_model_that_draws_random_numbers_is_judged_by_the_mean() -> None:
    random = np.random.default_rng(0)
    refused = [
        [bool(disagreement(shift + noise, np.zeros(30), random=True)) for noise in random.normal(0, 0.1, (200, 30))]
        for shift in (0.0, 0.12)
    ]
    assert sum(refused[0]) <= 2
    assert sum(refused[1]) >= 190


@pytest.fixture
def submission(made: Path, board: Path, tmp_path: Path) -> Path:
    """A row of the defended model, as one would send it."""
    rows = pd.read_csv(board / "results.csv")
    row = rows[(rows.defense != "none") & rows.attack.str.startswith("pgd")].iloc[0]
    pack(Store(made / "runs"), row.config_digest, tmp_path / "sent")
    return tmp_path / "sent"


def test_a_submission_is_accepted_and_attacked_again(
    submission: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert verify_submission(submission).problems == []
    outcome = hashbench(capsys, monkeypatch, "verify", submission, "--rerun", "5", "--seed", "1")
    assert outcome.code == 0, outcome.out
    assert "verified, 1 cells recomputed; 5 queries of each attacked again, drawn with --seed 1" in outcome.out


def test_a_submission_is_refused_with_reasons(submission: Path, tmp_path: Path) -> None:
    record = intact(json.loads((submission / "run.json").read_text()))
    assert record
    changed = {**record, "numbers": {**record["numbers"], "map": record["numbers"]["map"] + 0.03}}
    (submission / "run.json").write_text(json.dumps({**signed(record), "numbers": changed["numbers"]}))
    assert any("its own digest is another" in line for line in verify_submission(submission).problems)
    (submission / "run.json").write_text(json.dumps(changed))
    (submission / "model.safetensors").write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    (submission / "model.pth").write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    problems = "\n".join(verify_submission(submission).problems)
    assert "run.json: map is" in problems
    assert "model.safetensors is not an intact safetensors file" in problems
    assert "model.pth is not part of a submission and was not opened" in problems
    (submission / "run.json").write_text(
        json.dumps({**record, "identity": {**record["identity"], "schema_version": 2}})
    )
    assert any("run.json has schema_version 2" in line for line in verify_submission(submission).problems)
    (submission / "run.json").write_text('{"numbers": NaN}')
    (problem,) = (line for line in verify_submission(submission).problems if line.startswith("run.json"))
    assert "holds NaN, which is not a number; leave out what is not known" in problem
    assert not (tmp_path / "sprung").exists()
