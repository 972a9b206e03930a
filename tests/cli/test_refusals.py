"""What can't be done, or would change nothing, is refused in one line, and leaves no folder behind."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest
from command import Command
from toy_boards import make_board

import hashbench.api.attack_board
from hashbench.api.attack_board import COLUMNS, AttackedBoard
from hashbench.boards.tables import check_writable
from hashbench.errors import StoreUnusable


@pytest.fixture
def board() -> Path:
    return make_board(Path("leaderboards"))


def refused(command: Command, *words: str | Path) -> str:
    """The one line on standard error of a request that can't be carried out."""
    outcome = command(*words)
    assert (outcome.code, outcome.out, outcome.err.count("\n")) == (2, "", 1), outcome
    return outcome.err


def test_verify_refuses_options_that_need_rerun(command: Command, board: Path) -> None:
    for option in (("--seed", "1"), ("--allow-files",), ("--allow-work", "9")):
        assert f"error: {option[0]} needs --rerun N" in refused(command, "verify", board, *option)
    for name in ("broken", "zoo"):
        (board / name).mkdir()
    assert command("verify", board, "--allow-work", "9").code == 1, "images of others are encoded again"
    assert "error: --seed needs --rerun N" in refused(command, "verify", board, "--seed", "1")


def test_verify_with_a_store_or_a_device_that_is_not_there_looks_at_nothing(command: Command, board: Path) -> None:
    for words in (("--store", "nothere"), ()):
        said = refused(command, "verify", board, "--rerun", "2", *words)
        assert f"error: {'nothere' if words else 'runs'} is not a store" in said
    (board / "zoo").mkdir()
    assert "nothere is not a store" in refused(command, "verify", board, "--rerun", "2", "--store", "nothere")
    assert "'nowhere'" in refused(command, "verify", board, "--rerun", "2", "--device", "nowhere")
    said = command("verify", board, "--rerun", "2").out
    assert "REFUSED" in said
    assert "attacked again, drawn" not in said, "no cell came out right"
    assert not Path("nothere").exists()


def test_attack_board_says_where_nothing_was_attacked(
    command: Command, board: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = dict.fromkeys(COLUMNS) | {"defense": "mine", "attack": "noise", "note": "seed 0: no model of it"}
    table = pd.DataFrame([row], dtype=object)
    found = AttackedBoard("digits", table, (), board / "attack-board-noise.csv")
    monkeypatch.setattr(hashbench.api.attack_board, "attack_board", lambda *_, **__: found)
    outcome = command("attack-board", board, "--attack", "noise")
    assert outcome.code == 2
    line = "error: no model was attacked; mine under noise: not attacked: seed 0: no model of it\n"
    assert outcome.err == line


def test_page_of_what_holds_no_leaderboard_writes_nothing(command: Command) -> None:
    assert "nothere holds no leaderboard" in refused(command, "page", "nothere")
    assert not Path("nothere").exists()
    Path("file").touch()
    assert refused(command, "page", "file") == "error: file is no folder; name the one that holds the leaderboards\n"


def test_a_refused_request_leaves_no_folder(command: Command, tmp_path: Path) -> None:
    for words in (
        ("compare", "cgat", "none"), ("gallery", "none", "noise", "--backbone", "nonesuch"),
        ("corruptions", "--corruption", "jpg"), ("certify", "nothere"), ("report",), ("run", "--defense", "nonesuch"),
    ):  # fmt: skip
        refused(command, *words)
        assert not Path("leaderboards").exists(), words
    shutil.rmtree("runs", ignore_errors=True)
    assert list(tmp_path.iterdir()) == []


def test_whether_a_folder_can_be_written_is_tried_without_making_it(tmp_path: Path) -> None:
    check_writable(tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    for odd in (tmp_path / "file", tmp_path / "file" / "a", tmp_path / ("a" * 300) / "b"):
        with pytest.raises(StoreUnusable, match=r"can't write .*; choose another folder with --out"):
            check_writable(odd)
