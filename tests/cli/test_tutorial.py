"""The tutorial's code and commands work as they stand on the page, but for fewer epochs and steps."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from command import Outcome, hashbench

from hashbench.registry import entries

PAGE = (Path(__file__).parents[2] / "docs" / "your-defense.md").read_text(encoding="utf-8")
CODE = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = re.findall(r"^    (hashbench .*)$", PAGE, re.MULTILINE)
SHORT = {
    "one-step": "one-step:epochs=1",
    "cgat": "cgat:epochs=1,steps=2",
    "pgd-hamming": "pgd-hamming:steps=2,restarts=1",
}


@pytest.fixture
def follow(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[[str], Outcome]:
    """Follow the page in an empty folder: write the file, then run commands, each as if in a process of its own."""
    entries.attacks["none"]
    monkeypatch.chdir(tmp_path)
    (code,) = CODE
    Path("my_defense.py").write_text(code)

    def run(command: str) -> Outcome:
        before = [dict(group._entries) for group in entries.REGISTRIES]
        words = [SHORT.get(word, word) for word in shlex.split(command)[1:]]
        words += ["--training", "epochs=2"] if words[0] == "run" else []
        found = hashbench(capsys, monkeypatch, *words)
        for group, known in zip(entries.REGISTRIES, before, strict=True):
            group._entries = known
        return found

    return run


def test_the_page_has_a_file_of_about_25_lines_and_three_commands() -> None:
    (code,) = CODE
    assert len([line for line in code.splitlines() if line.strip()]) <= 30
    assert [command.split()[1] for command in COMMANDS] == ["check", "run", "compare"]


def test_following_the_page_leads_to_a_comparison(follow: Callable[[str], Outcome]) -> None:
    check, run, compare = COMMANDS
    checked = follow(check)
    assert (checked.code, checked.err) == (0, "")
    assert "FAIL" not in checked.out
    measured = follow(run)
    assert measured.code == 0, measured.err
    assert "one-step" in Path(next(Path("leaderboards").glob("*/matrix.csv"))).read_text()
    compared = follow(compare)
    assert compared.code == 0, compared.err
    assert "one-step" in compared.out
