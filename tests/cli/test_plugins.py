"""Plugins that the command line is given: each command loads them, and what does not load is one line."""

from __future__ import annotations

from pathlib import Path

import pytest
from command import PLUGIN, QUICK, Command, rows
from toy_boards import make_board

from hashbench.cli.main import cli
from hashbench.registry import entries


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


BROKEN = """
import hashbench as hb, numpy as np, torch

@hb.dataset("gone")
def gone():
    "Its file is not there."
    np.load("nope.npz")

@hb.dataset("nothing")
def nothing():
    "It returns nothing."

@hb.backbone("moody")
def moody(bits, channels, size):
    "It can't be made."
    raise ValueError("not today")

@hb.backbone("deaf")
def deaf(bits, channels, size):
    "It can be made, and takes no images."
    return torch.nn.Linear(7, bits)

class Narrow(torch.nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, images):
        if len(images) > 200:
            raise ValueError("at most 200 images")
        return self.network(images)

@hb.defense("narrow", trains=False)
def narrow(model, train, method, threat):
    "It takes few images at once."
    return hb.HashModel(Narrow(model.network), model.bits)

@hb.method("mute")
def mute(codes, labels):
    "It returns nothing."
"""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("run", "--dataset", "gone"), "data set gone raised FileNotFoundError at "),
        (("run", "--dataset", "gone", "--dry-run"), "data set gone raised FileNotFoundError at "),
        (("data", "gone"), "data set gone raised FileNotFoundError at "),
        (("run", "--dataset", "nothing"), "data set nothing returned a NoneType; return a RetrievalSplit"),
        (("data", "nothing"), "data set nothing returned a NoneType; return a RetrievalSplit"),
        (("run", "--backbone", "moody"), "network moody raised ValueError at mine.py:"),
    ],
)
def test_code_of_a_plugin_that_fails_before_a_run_is_one_line(
    command: Command, words: tuple[str, ...], message: str
) -> None:
    Path("mine.py").write_text(BROKEN)
    with entries.restored():
        outcome = command(*words, "--plugin", "mine.py")
    assert outcome.code == 2
    assert outcome.err.startswith(f"error: {message}")
    assert outcome.err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--method", "mute"), "method mute returned a NoneType; return a hashbench.Method"),
        (("--backbone", "deaf"), "network deaf raised RuntimeError at "),
    ],
)
def test_code_of_a_plugin_that_fails_in_a_run_makes_its_cells_invalid(
    command: Command, words: tuple[str, ...], reason: str
) -> None:
    Path("mine.py").write_text(BROKEN)
    given = ("run", *QUICK, "--plugin", "mine.py", *words)
    with entries.restored():
        dry = command(*given, "--dry-run")
    with entries.restored():
        outcome = command(*given)
    assert (dry.code, "Traceback" in dry.err + outcome.err) == (0, False)
    assert reason in outcome.out


def test_a_model_that_raises_while_it_is_encoded_ends_its_own_cells_alone(command: Command) -> None:
    Path("mine.py").write_text(BROKEN)
    given = (*QUICK, "--plugin", "mine.py", "--defense", "narrow")
    with entries.restored():
        outcome = command("run", *given, "--certify", "no")
    assert "Traceback" not in outcome.err
    assert "the model raised ValueError at mine.py:" in outcome.out
    assert rows().status.tolist() == ["valid", "invalid"]
    with entries.restored():
        outcome = command("corruptions", *given, "--corruption", "noise")
    assert outcome.code == 0, outcome.err
    assert "narrow, seed 0: left out: the model raised ValueError at mine.py:" in outcome.out + outcome.err
