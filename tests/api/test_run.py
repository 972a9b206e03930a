from __future__ import annotations

import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from command import QUICK, SMALL_MODEL, Command, make_probes_small, write_plugin

import hashbench as hb
from hashbench.api.own_functions import plugin_text
from hashbench.registry import entries

pytestmark = pytest.mark.usefixtures("registries")

OWN = '''
import torch
import hashbench as hb
from hashbench import Recipe, Threat
from torch import nn

FACTOR = 0.5
RECIPE = Recipe(epochs=1)

def brighter(images):
    return images * FACTOR

class Shift(nn.Module):
    def forward(self, images):
        return images + 0.0 * images

@hb.attack("darken")
def darken(victim, threat: Threat, *, share: float = 1.0):
    """Make images darker."""
    shift = Shift()
    def craft(queries):
        return threat.project(shift(brighter(queries.images)) - share * threat.eps, queries.images)
    return craft

@hb.defense("once-more")
def once_more(model, train, method, threat, *, recipe: Recipe = RECIPE):
    """Train once more."""
    loss = lambda images, labels, index: method(model(images), labels, index)
    return hb.fit(model, train, method, loss, recipe)
'''


def results(out: Path) -> bytes:
    (path,) = out.glob("*/results.csv")
    return path.read_bytes()


@pytest.fixture(autouse=True)
def probe(monkeypatch: pytest.MonkeyPatch) -> None:
    make_probes_small(monkeypatch)


def test_run_gives_the_results_of_the_command_byte_by_byte(command: Command, tmp_path: Path) -> None:
    plugin = write_plugin(tmp_path, "darker", "return threat.project(queries.images - threat.eps, queries.images)")
    attacks = ("noise", "pgd-hamming:steps=2,restarts=1", "darker")
    words = [word for name in attacks for word in ("--attack", name)]
    with entries.restored():
        outcome = command(
            "run", *QUICK, "--defense", "cgat:epochs=1,steps=1", "--plugin", plugin, *words, "--eps", "8/255"
        )
    assert outcome.code == 0, outcome.err
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    board = hb.run(
        "digits", ["cgat:epochs=1,steps=1"], attacks, **SMALL_MODEL, plugins=[plugin], eps=8 / 255,
        store="other", out="elsewhere",
    )  # fmt: skip
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads
    assert results(Path("elsewhere")) == results(Path("leaderboards"))
    assert board.folder == Path("elsewhere") / board.leaderboard.name
    held = pd.read_csv(board.folder / "ranking.csv")
    assert list(held["defense"]) == list(board.to_frame()["defense"])
    assert len(board.results()) == 8
    assert board.matrix().columns[-3] == "worst"
    assert "<table" in board._repr_html_()
    (said,) = pd.read_csv(board.folder / "provenance.csv")["command"].unique()
    told = f"--backbone cnn:width=8 --training epochs=1 --eps 0.03137254901960784 --plugin {plugin.name} --defense"
    assert said.startswith(f"hashbench run {told}")
    assert "darker" not in {entry.name for entry in entries.attacks}
    plugin.write_text(plugin.read_text().replace("- threat.eps", "- 0.5 * threat.eps"))
    again = hb.run(
        "digits", attacks=["darker"], **SMALL_MODEL, plugins=[plugin], eps=8 / 255, store="other", out="third"
    )
    first, second = (found.results().query("defense == 'none' and attack == 'darker'") for found in (board, again))
    assert first["config_digest"].item() != second["config_digest"].item()
    assert first["l2_mean"].item() > second["l2_mean"].item()


@pytest.mark.slow
def test_functions_of_a_script_run_as_the_plugin_files_that_they_are_written_into(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        OWN
        + textwrap.dedent("""
        def small():
            import hashbench.evaluation.probe, hashbench.running.probes
            hashbench.evaluation.probe.QUERIES, hashbench.evaluation.probe.STEPS = 8, 1
            hashbench.running.probes.BLACK_BOX = "square-hamming:steps=2"

        if __name__ == "__main__":
            small()
            board = hb.run("digits", [once_more], [darken, "darken:share=0.5"], **SMALL_MODEL, out="one")
            assert "stateful" not in str(board.flags), board.flags
            again = hb.run("digits", [once_more], [darken], **SMALL_MODEL, out="two")

            @hb.attack("darken")
            def darken(victim, threat: Threat):
                return lambda queries: queries.images

            hb.run("digits", [], [darken], **SMALL_MODEL, out="three")
        """)
    )
    done = subprocess.run([sys.executable, "mine.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    files = sorted((tmp_path / "runs" / "notebook").glob("*.py"))
    assert [path.name.rpartition("_")[0] for path in files] == ["darken", "darken", "once_more"]
    words = [
        word for path in files if "share" in path.read_text() or "once" in path.name for word in ("--plugin", str(path))
    ]
    names = ["--defense", "once-more", "--attack", "darken", "--attack", "darken:share=0.5"]
    program = "from hashbench.cli.main import main; main()"
    subprocess.run(
        [sys.executable, "-c", program, "run", *QUICK, *words, *names, "--out", "four"], cwd=tmp_path, check=True
    )
    assert results(tmp_path / "four") == results(tmp_path / "one")
    changed = pd.read_csv(next(tmp_path.glob("three/*/results.csv"))).set_index("attack")
    assert changed.loc["darken", "linf_max"] == 0


def defined(code: str) -> dict[str, Any]:
    """What a notebook's cell leaves, with its text where Python looks for it."""
    import linecache

    name = f"<cell {len(linecache.cache)}>"
    linecache.cache[name] = (len(code), None, code.splitlines(keepends=True), name)
    held: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(code, name, "exec", dont_inherit=True), held)  # noqa: S102
    return held


def test_a_function_is_written_with_all_that_it_uses_and_nothing_else() -> None:
    held = defined(
        "import math\nUNUSED = object()\nlimit = 3\ndef used(x):\n    return math.floor(x) + limit\n"
        "def mine(victim, threat):\n    own = [limit]\n    return lambda queries: used(own[0])\n"
    )
    text = plugin_text(held["mine"])
    assert "UNUSED" not in text
    again: dict[str, Any] = {}
    exec(text, again)  # noqa: S102
    assert again["mine"](None, None)(None) == 6


def test_sets_are_written_alike_in_every_process() -> None:
    """And all else as Python writes it: keys of what was measured hold the text."""
    letters = set("hashbench")
    plain: Any = ((), (1,), [1, "a", (2, [])], {"b": 1, "a": {3: None}}, set(), -0.5, "it's", True, b"x", 2j)
    held = defined(
        f"kinds = {{'of': [{letters!r}, ({{3, 1, 2}},)]}}\nplain = {plain!r}\ndef mine(): return kinds, plain\n"
    )
    text = plugin_text(held["mine"])
    assert "kinds = {'of': [{'a', 'b', 'c', 'e', 'h', 'n', 's'}, ({1, 2, 3},)]}\n" in text
    assert f"plain = {plain!r}\n" in text
    again: dict[str, Any] = {}
    exec(text, again)  # noqa: S102
    assert again["mine"]() == ({"of": [letters, ({1, 2, 3},)]}, plain)


@pytest.mark.parametrize(
    ("before", "body", "why"),
    [
        ("import torch\nmemory = torch.zeros(3)", "memory[0] = 1", "memory is a Tensor"),
        ("class Box: pass\nbox = Box()", "return box", "box is a Box"),
        ("from functools import partial\nhalf = partial(max, 1)", "return half(2)", "half is a partial"),
    ],
)
def test_what_no_file_can_hold_is_one_line(before: str, body: str, why: str) -> None:
    held = defined(f"{before}\ndef mine():\n    {body}\n")
    with pytest.raises(
        hb.HashbenchError, match=f"mine can't be written into a file: {why}; put the function"
    ) as caught:
        plugin_text(held["mine"])
    assert "\n" not in str(caught.value)


def test_wrong_arguments_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    def bare(victim: object, threat: object) -> None:
        """Not registered."""

    odd: Any = "noise"
    for given, message in (
        ({"attacks": [bare]}, "bare is no registered attack; decorate the function: @hashbench.attack"),
        ({"dataset": bare}, "bare is no registered data set; decorate the function: @hashbench.dataset"),
        ({"attacks": odd}, "attacks is one str; give a list"),
        ({"attacks": ["nosie"]}, "did you mean 'noise'"),
        ({"eps": 8}, "is 8; give a budget from 0 to 1"),
        ({"eps": [0.1]}, "eps is a list of 1; give a number in pixel units"),
        ({"bits": 0}, "bits=0 is outside 1 to 1024"),
        ({"bits": np.int64(0)}, "bits=0 is outside 1 to 1024"),
        ({"bits": 8.0}, "bits is 8.0; give a whole number"),
        ({"seeds": [0.5]}, "a seed is 0.5; give a whole number"),
        ({"patch": True}, "patch is true; give a whole number"),
        ({"seeds": [0, -1]}, "seed -1 is outside 0 to 4294967295"),
        ({"seeds": 3}, "seeds is one int; give a list"),
        ({"plugins": "mine.py"}, "plugins is one str; give a list"),
        ({"workers": 2, "scheduler": "tcp://x:1"}, "^workers= and scheduler= exclude each other"),
        ({"workers": 0}, "workers=0 is below 1; give 1 or more"),
        ({"threads": 0}, "threads=0 is below 1"),
        ({"zoo": "nowhere"}, "^zoo=nowhere is no folder"),
        ({"threads": "2"}, "threads is '2'; give a whole number"),
        ({"workers": "2"}, "workers is '2'; give a whole number"),
        ({"store": "/proc/x"}, "choose another folder with store=$"),
        ({"out": "/proc/x"}, "choose another folder with out=$"),
        ({"out": None}, "out is nothing; give a path"),
        ({"device": None}, "device is nothing; give a text"),
        ({"norm": "l2", "patch": 3}, "^norm=l2 and patch=3 exclude each other"),
        ({"patch": 0}, "patch=0 is below 1"),
        ({"defenses": None}, "defenses is one NoneType; give a list"),
        ({"eps": "much"}, "^eps='much' is not a budget"),
        ({"access": "ranking", "attacks": ["hag"]}, "which access=ranking rules out"),
    ):
        with pytest.raises(hb.HashbenchError, match=message) as caught:
            hb.run(**given)
        assert "\n" not in str(caught.value)
    assert not list(Path("runs").glob("models/*")) if Path("runs").exists() else True
    shutil.rmtree(tmp_path / "runs", ignore_errors=True)


LEAKY = """
import torch
import hashbench as hb

@hb.dataset("leaky")
def leaky() -> hb.RetrievalSplit:
    images, labels = torch.rand(60, 1, 8, 8, generator=torch.Generator().manual_seed(0)), torch.arange(60) % 3
    found = torch.nn.functional.one_hot(labels, 3).float()
    parts = {"queries": slice(0, 10), "validation": slice(10, 20), "database": slice(9, 60), "train": slice(20, 60)}
    return hb.split_of_tensors(**{role: hb.ImageSet(images[p], found[p]) for role, p in parts.items()}, eps=0.1)
"""


def test_images_in_two_roles_are_told_by_run_and_by_attack_board(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], undrawn: None
) -> None:
    plugin = tmp_path / "leaky.py"
    plugin.write_text(LEAKY)
    board = hb.run(
        "leaky", attacks=["noise"], training="epochs=1", bits=8, plugins=[plugin], store=tmp_path / "runs",
        out=tmp_path / "boards", keep_models=True, certifying=False,
    )  # fmt: skip
    leak = "leak: 1 of 10 images of queries are in database too: queries[9] is database[0]"
    assert leak in capsys.readouterr().err
    assert board.folder is not None
    hb.attack_board(board.folder, ["noise"], plugins=[plugin], store=tmp_path / "zoo")
    assert leak in capsys.readouterr().err
