"""Plugins that the command line is given: each command loads them, and what does not load is one line."""

from __future__ import annotations

from pathlib import Path

import pytest
from command import PLUGIN, QUICK, Command
from toy_boards import make_board

from hashbench.cli.main import cli


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("import absent_module", "ModuleNotFoundError: No module named 'absent_module'"),
        ("def f(:", "SyntaxError"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("x = 1", "registers nothing"),
        (PLUGIN.format(name="noise", body="return queries.images"), "registers the attack 'noise', which"),
        (
            PLUGIN.format(name="mine", body="return 1").replace("threat: Threat)", "threat: Threat, *, n)"),
            "'n' needs a default",
        ),
    ],
)
def test_a_plugin_that_does_not_load_is_one_line(command: Command, content: str, message: str) -> None:
    Path("mine.py").write_text(content)
    outcome = command("run", *QUICK, "--plugin", "mine.py")
    assert outcome.code == 2
    assert outcome.err.count("\n") == 1
    assert message in outcome.err


NEEDED = {  # words without which a command does not get as far as its plugins
    "attack-board": "{board} --attack mine", "break": "digits/cgat images.npz --by me", "check": "cgat",
    "compare": "cgat none", "data": "digits", "gallery": "--attack mine", "study": "quick", "submit": "cgat",
    "tune": "cgat", "verify": "{board}",
}  # fmt: skip
WITH_PLUGINS = [name for name, one in cli.commands.items() if "plugins" in {option.name for option in one.params}]


@pytest.mark.parametrize("name", WITH_PLUGINS)
def test_every_command_loads_its_plugins(command: Command, name: str) -> None:
    Path("mine.py").write_text("x = 1")
    Path("runs/cells").mkdir(parents=True)
    needed = NEEDED.get(name, "").format(board=make_board(Path("leaderboards")))
    outcome = command(name, *needed.split(), "--plugin", "mine.py")
    assert (outcome.code, "registers nothing" in outcome.err) == (2, True), outcome
