"""Disks that are full, read-only or lose a folder, and killed processes: one line at most, and nothing is lost."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from command import Command, Outcome, rows

from hashbench.registry import entries

pytestmark = pytest.mark.usefixtures("registries")
PLUGIN = Path(__file__).with_name("odd_entries.py")
WORDS = ("run", "--plugin", PLUGIN, "--dataset", "odd", "--training", "epochs=2", "--attack", "noise")


def raising(number: int) -> Callable[..., Any]:
    """A function that fails as the system does."""

    def fail(*words: Any, **more: Any) -> Any:
        raise OSError(number, os.strerror(number))

    return fail


def command_again(command: Command, *words: str | Path) -> Outcome:
    """The command once more, as if in a new process, which loads its plugins anew."""
    for group in entries.REGISTRIES:
        group._entries = {name: entry for name, entry in group._entries.items() if not name.startswith("odd")}
    return command(*words)


def is_one_line(text: str) -> bool:
    return text.startswith("error: ") and text.count("\n") == 1


@pytest.mark.parametrize(
    "place",
    [
        "hashbench.running.store.save_file",
        "hashbench.running.store.np.savez",
        "hashbench.running.store.tempfile.mkdtemp",
        "pandas.DataFrame.to_csv",
        "matplotlib.figure.Figure.savefig",
    ],
)
def test_a_full_disk_is_one_line_and_what_was_stored_is_used(
    command: Command, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(place, raising(errno.ENOSPC))
        outcome = command(*WORDS)
    assert outcome.code == 2
    assert is_one_line(outcome.err)
    assert "No space left on device" in outcome.err
    stored = {path: path.read_bytes() for path in Path("runs").glob("[cmp]*/*/*.json")}
    again = command_again(command, *WORDS)
    assert (again.code, again.err) == (0, "")
    assert (rows().status == "valid").all()
    assert {path: path.read_bytes() for path in stored} == stored
    assert bool(stored) is ("training the model" not in again.log)


def test_a_disk_that_can_only_be_read_is_one_line(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hashbench.running.store.tempfile", SimpleNamespace(TemporaryFile=raising(errno.EROFS)))
    for words in (WORDS, ("tune", "cgat", "--training", "epochs=1")):
        outcome = command_again(command, *words)
        assert (outcome.code, is_one_line(outcome.err)) == (2, True)
        assert "Read-only file system" in outcome.err
        assert "choose another folder with --store" in outcome.err


@pytest.mark.parametrize("option", ["--out", "--store"])
@pytest.mark.parametrize("place", ["file", "/proc/none"])
def test_a_folder_that_can_not_be_made_is_one_line_before_any_training(
    command: Command, option: str, place: str
) -> None:
    Path("file").write_text("")
    outcome = command(*WORDS, option, place)
    assert (outcome.code, is_one_line(outcome.err)) == (2, True)
    assert f"choose another folder with {option}" in outcome.err
    assert "training" not in outcome.log


def test_a_store_that_disappears_in_a_run_is_one_line(command: Command) -> None:
    outcome = command(*WORDS, "--attack", "odd-effects:removes=runs")
    assert (outcome.code, is_one_line(outcome.err)) == (2, True)
    assert "No such file or directory" in outcome.err
    assert command_again(command, *WORDS).code == 0


def test_a_folder_of_tables_that_disappears_is_made_again(command: Command) -> None:
    Path("leaderboards").mkdir()
    outcome = command(*WORDS, "--attack", "odd-effects:removes=leaderboards")
    assert (outcome.code, outcome.err) == (0, "")
    assert len(rows()) == 3


@pytest.mark.parametrize("victim", ["server", "process"])
def test_a_killed_clean_room_says_nothing_about_a_model(command: Command, victim: str) -> None:
    fatal = Path(__file__).with_name("fatal_defense.py")
    outcome = command(*WORDS, "--plugin", fatal, "--defense", f"fatal:victim={victim}")
    assert (outcome.code, outcome.err) == (0, "")
    assert not Path("deaths").exists()
    assert "stateful" not in outcome.out
