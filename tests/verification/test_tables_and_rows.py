"""Tables held against cells, names of rows, findings, images that someone sends, provenance."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from toy_boards import make_board

from hashbench.boards.leaderboard import HOST, PARAMETERS
from hashbench.errors import BadInput, UnknownName
from hashbench.evaluation.judge import PROTOCOL_VERSION
from hashbench.models.data import ImageSet
from hashbench.running.cell import SCHEMA_VERSION
from hashbench.verification import rows as module
from hashbench.verification.breaks import read_images
from hashbench.verification.findings import LONGEST, TOLD, Findings, verify_versions, who
from hashbench.verification.rows import find_row, flags_of_board
from hashbench.verification.tables import (
    by_column,
    check_provenance,
    check_table,
    compare,
    identity_of,
    of_budget,
    of_model,
)


def test_findings_are_lines_and_end() -> None:
    found = Findings(["a\x1b", *["b"] * TOLD], ["c" * 2 * LONGEST] * (TOLD + 1), ["d"] * (TOLD + 1))
    lines = found.lines()
    assert lines[:2] == [r"problem: a\x1b", "problem: b"]
    assert lines[TOLD] == "problem: and 1 more"
    assert len(lines) == TOLD + 1 + TOLD + TOLD
    assert len(lines[TOLD + 1]) <= LONGEST + 100
    assert lines[-1] == "note: d"
    assert Findings(["a"] * TOLD).lines() == ["problem: a"] * TOLD


def test_what_another_version_made_is_refused_with_both_versions() -> None:
    right = {"schema_version": SCHEMA_VERSION, "protocol_version": str(PROTOCOL_VERSION)}
    verify_versions(right, "run.json")
    for name in right:
        with pytest.raises(BadInput, match=rf"^run\.json has {name} 99; this hashbench reads \d+, use the one"):
            verify_versions({**right, name: 99}, "run.json")
        with pytest.raises(BadInput, match=rf"has {name} \(none\); "):
            verify_versions({other: value for other, value in right.items() if other != name}, "run.json")
    cell = {"defense": "cgat", "attack": "hag", "attacker": "adaptive", "seed": 1}
    assert who(cell) == "cgat under hag, seed 1"
    assert who({**cell, "attacker": "oblivious"}) == "cgat under hag (oblivious), seed 1"


TABLE = pd.DataFrame({"defense": ["a", "b"], "map": [0.5, None], "seed": [0, 1]})
GIVEN = [{"defense": "a", "map": "0.500000", "seed": "0"}, {"defense": "b", "map": "", "seed": "1"}]
NAMES = ("defense", "map", "seed")


@pytest.mark.parametrize(
    ("given", "header", "problems"),
    [
        (GIVEN, NAMES, []),
        (GIVEN, ("defense", "seed", "map"), ["t.csv has other columns than its cells give: another order"]),
        (GIVEN, ("defense", "map", "x"), ["t.csv has other columns than its cells give: seed, x"]),
        (GIVEN[:1], NAMES, ["t.csv lacks b"]),
        ([*GIVEN, GIVEN[1]], NAMES, ["t.csv has b twice"]),
        (GIVEN[::-1], NAMES, ["t.csv has its rows in another order than its cells give"]),
        ([*GIVEN, {**GIVEN[0], "defense": "c"}], NAMES, ["t.csv has c, of which there are no cells"]),
        ([{**GIVEN[0], "map": "0.6"}, GIVEN[1]], NAMES, ["t.csv: map of a is 0.6; its cells give 0.5"]),
        ([{**GIVEN[0], "map": ""}, GIVEN[1]], NAMES, ["t.csv: map of a is empty; its cells give 0.5"]),
        ([GIVEN[0], {**GIVEN[1], "map": "0.1"}], NAMES, ["t.csv: map of b is 0.1; its cells give empty"]),
    ],
)
def test_each_kind_of_difference_of_two_tables_is_said(
    given: list[dict[str, str]], header: tuple[str, ...], problems: list[str]
) -> None:
    assert compare("t.csv", TABLE, given, header, by_column("defense")) == problems


def test_rows_have_the_names_that_people_know() -> None:
    row: Mapping[str, Any] = {"defense": "cgat", "seed": 3, "eps": "0.1"}
    assert (of_model(row), of_budget(row)) == ("cgat, seed 3", "cgat, seed 3, eps 0.100000")
    told = compare("t.csv", TABLE, [{**GIVEN[0], "map": "0.6"}, GIVEN[1]], NAMES, by_column("defense"), lambda r: "it")
    assert told == ["t.csv: map of it is 0.6; its cells give 0.5"]


def test_a_table_that_can_t_be_read_or_has_no_numbers_is_said(tmp_path: Path) -> None:
    (absent,) = check_table(tmp_path / "sanity.csv", TABLE, by_column("defense"))
    assert "sanity.csv" in absent
    (tmp_path / "curve.csv").write_text("defense,map,seed\na,much,0\n")
    (wrong,) = check_table(tmp_path / "curve.csv", TABLE, by_column("defense"))
    assert "map is 'much'" in wrong
    (tmp_path / "t.csv").write_text("defense,map,seed\na,much,0\nb,,1\n")
    assert check_table(tmp_path / "t.csv", TABLE, by_column("defense")) == [
        "t.csv: map of a is much; its cells give 0.5"
    ]


def provenance(folder: Path, change: Any = None) -> Findings:
    wanted = ["defense", "attack", "attacker", "seed", "config_digest"]
    rows = [{"defense": "a", "attack": attack, "attacker": "adaptive", "seed": "0", "config_digest": "f" * 16,
             "status": "valid"} for attack in ("none", "hag")]  # fmt: skip
    hosts = [dict.fromkeys(HOST, "") | {name: row[name] for name in wanted} for row in rows]
    for host in hosts:
        host |= {"attack_seconds": "1.5", "code_dirty": "False"}
    names = [*wanted, *HOST]
    if change:
        names = change(hosts, rows) or names
    with (folder / "provenance.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, names, extrasaction="ignore", lineterminator="\n")
        table.writeheader()
        table.writerows(hosts)
    found = Findings()
    check_provenance(folder, rows, found)
    return found


def test_provenance_fits_the_results(tmp_path: Path) -> None:
    assert provenance(tmp_path) == Findings()
    assert provenance(tmp_path, lambda hosts, rows: hosts[1].update(code_dirty="True")).warnings == [
        "1 of 2 cells were made from a dirty working tree"
    ]
    assert provenance(tmp_path, lambda hosts, rows: hosts[1].update(attack_seconds="")).problems == [
        "provenance.csv: attack_seconds of a under hag is empty"
    ]

    def invalid(hosts: list[dict[str, str]], rows: list[dict[str, str]]) -> None:
        rows[1]["status"], hosts[1]["attack_seconds"] = "invalid", ""

    assert provenance(tmp_path, invalid) == Findings()
    other = "provenance.csv does not have the same cells as results.csv, in its order"
    assert provenance(tmp_path, lambda hosts, rows: hosts[1].update(seed="1")).problems == [other]
    assert provenance(tmp_path, lambda hosts, rows: hosts.pop() and None).problems == [other], "a row is missing"

    def names(kept: Any) -> Any:
        return lambda hosts, rows: [name for name in hosts[0] if kept(name)]

    assert (
        provenance(tmp_path, names(lambda name: name != "attack_seconds"))
        .problems[0]
        .startswith("provenance.csv has other columns than 'hashbench run' writes: ")
    )
    (tmp_path / "provenance.csv").unlink()
    found = Findings()
    check_provenance(tmp_path, [], found)
    assert len(found.problems) == 1


def test_a_row_says_of_its_cell_what_numbers_it_has(tmp_path: Path) -> None:
    row = read_rows(tmp_path)[0]
    made = identity_of(row)
    assert (made["bits"], made["seed"], made["eps"]) == (16, 0, 0.12549)
    with pytest.raises(BadInput, match="bits, seed or eps is no number"):
        identity_of({**row, "eps": "much"})


def read_rows(folder: Path) -> list[dict[str, str]]:
    """The rows of a made board, with the columns of parameters."""
    with (make_board(folder) / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    return [dict.fromkeys(PARAMETERS, "") | row for row in rows]


@pytest.fixture(scope="module")
def boards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two leaderboards of the digits and one of others."""
    out = tmp_path_factory.mktemp("boards")
    for name, bits in (("digits", 16), ("digits", 32), ("cifar10", 16)):
        make_board(out, name, bits=bits)
    return out


def found_row(name: str, boards: Path, monkeypatch: pytest.MonkeyPatch, seed: int = 0) -> tuple[str, dict[str, str]]:
    read: list[dict[str, str]] = []

    def cells(folder: Path, rows: list[dict[str, str]]) -> list[tuple[Any, Any]]:
        read.extend(rows)
        return [(None, None)]

    monkeypatch.setattr(module, "read_cells", cells)
    folder, _ = find_row(name, seed, boards)
    (row,) = read
    return folder.name, row


def test_a_name_stands_for_a_clean_row_of_a_leaderboard(boards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, row = found_row("digits/saat", boards, monkeypatch, seed=1)
    assert folder == "digits-cnn-csq-16bit-linf-32-255", "of equals the first"
    assert (row["defense"], row["attack"], row["seed"]) == ("saat:learning_rate=0.02,weight=3", "none", "1")
    again = found_row("digits/saat:learning_rate=2e-2,weight=3.0", boards, monkeypatch, seed=1)
    assert again == (folder, row), "the same values in other digits"
    other = boards / "digits-cnn-csq-32bit-linf-32-255"
    weights = other / "zoo" / f"{row['model_digest']}.safetensors"
    weights.parent.mkdir()
    weights.touch()
    try:
        assert found_row("digits/saat", boards, monkeypatch)[0] == other.name, "the one with weights"
    finally:
        weights.unlink()
        weights.parent.rmdir()


def test_of_two_leaderboards_the_one_with_more_rows_is_meant(boards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = boards / "digits-cnn-csq-16bit-linf-32-255" / "results.csv"
    whole = path.read_text()
    lines = whole.splitlines(keepends=True)
    kept = [line for line in lines if ",broken," not in line]
    path.write_text("".join(kept))
    try:
        assert found_row("digits/cgat", boards, monkeypatch)[0] == "digits-cnn-csq-32bit-linf-32-255"
    finally:
        path.write_text(whole)


@pytest.mark.parametrize(
    ("name", "seed", "message"),
    [
        ("cgat", 0, "'cgat' names no row; write DATASET/DEFENSE"),
        ("digits/", 0, "'digits/' names no row"),
        ("didgits/cgat", 0, "no leaderboard is of 'didgits'; did you mean 'digits'?"),
        ("digits/cgta", 0, "no leaderboard of digits has the defense 'cgta'; did you mean 'cgat'?"),
        ("digits/cgat", 7, "digits/cgat has no row of seed 7; it has 0, 1"),
    ],
)
def test_a_name_without_a_row_is_refused(boards: Path, name: str, seed: int, message: str) -> None:
    with pytest.raises(UnknownName) as refused:
        find_row(name, seed, boards)
    assert str(refused.value).startswith(message)


def test_a_name_of_several_labels_is_refused_and_flags_are_gathered(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="data/mine could mean mine:a=1 or mine:a=2; give one of them"):
        module._label("mine", {"mine:a=1", "mine:a=2", "other"}, "data")
    assert module._label("mine", {"mine", "mine:a=2"}, "data") == "mine"
    with pytest.raises(UnknownName, match="has no leaderboard; name a folder of leaderboards"):
        find_row("a/b", 0, tmp_path)
    folder = make_board(tmp_path)
    assert flags_of_board(folder)["bit-depth"] == ["zero_gradient", "black_box_beats_white_box"] * 2
    assert flags_of_board(folder)["cgat"] == []
    (folder / "sanity.csv").unlink()
    assert flags_of_board(folder) == {}


QUERIES = ImageSet(torch.rand(3, 1, 2, 2), torch.ones(3, 1))
IMAGES = np.arange(12, dtype=np.float32).reshape(3, 1, 2, 2) / 12


def test_images_of_others_are_read_in_the_order_of_their_queries(tmp_path: Path) -> None:
    path = tmp_path / "images.npz"
    np.savez(path, images=IMAGES)
    images, index = read_images(path, QUERIES)
    assert torch.equal(images, torch.from_numpy(IMAGES))
    assert index.tolist() == [0, 1, 2]
    np.savez(path, images=(IMAGES[:2] * 255).astype(np.uint8), index=np.array([2, 0], np.uint8))
    images, index = read_images(path, QUERIES)
    assert index.tolist() == [0, 2]
    assert index.dtype == torch.int64
    assert torch.equal(images[1] * 255, torch.from_numpy((IMAGES[0] * 255).astype(np.uint8)).float())
    assert images.dtype == torch.float32


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"index": np.arange(3)}, "wanted are images and index, look at 'images'"),
        ({"images": IMAGES, "other": np.zeros(1)}, "look at 'other'"),
        ({"images": IMAGES[:, :, :1]}, "its images have shape [3, 1, 1, 2]; the queries are [1, 2, 2] each"),
        ({"images": IMAGES[:0]}, "its images have shape [0, 1, 2, 2]"),
        ({"images": IMAGES[:2]}, "it has 2 images for 3 queries; say by the array index"),
        ({"images": IMAGES, "index": np.array([0, 1, 1])}, "its index must be a different position from 0 to 2"),
        ({"images": IMAGES, "index": np.array([0, 1, 3])}, "its index must be"),
        ({"images": IMAGES, "index": np.array([-1, 1, 2])}, "its index must be"),
        ({"images": IMAGES, "index": np.array([0.0, 1, 2])}, "its index must be"),
        ({"images": IMAGES, "index": np.arange(2)}, "its index must be"),
        ({"images": IMAGES.astype(np.uint16)}, "its images are uint16; give floats in [0, 1] or bytes"),
        ({"images": IMAGES.astype(np.int8)}, "its images are int8"),
    ],
)
def test_other_arrays_are_refused(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    np.savez(tmp_path / "images.npz", **arrays)
    with pytest.raises(BadInput) as refused:
        read_images(tmp_path / "images.npz", QUERIES)
    assert message in str(refused.value)
