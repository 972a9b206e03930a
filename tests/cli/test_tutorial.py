"""The tutorials' code and commands work as they stand on their pages, but for fewer epochs and steps.

`make docs` executes the pages themselves, which are notebooks; here their results are looked at.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from command import Outcome, hashbench

from hashbench.cli.main import cli
from hashbench.registry import entries

DOCS = Path(__file__).parents[2] / "docs"
SHORT = {
    "one-step:epochs=3": "one-step:epochs=1",
    "cgat:epochs=3": "cgat:epochs=1,steps=2",
    "pgd-training:epochs=3": "pgd-training:epochs=1,steps=1",
    "pgd-training:epochs=5": "pgd-training:epochs=1,steps=1",
    "pgd-hamming:restarts=1": "pgd-hamming:steps=2,restarts=1",
    "pgd-hamming:steps=10": "pgd-hamming:steps=2,restarts=1",
    "signed-steps": "signed-steps:steps=2",
}


def page(name: str) -> tuple[list[str], list[str]]:
    """The files that a page writes or the code that it runs in Python, and its commands in a cell or in the text."""
    text = (DOCS / f"{name}.md").read_text(encoding="utf-8")
    cells = re.findall(r"^```\{code-cell\} python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    code = [re.sub(r"^%%writefile .*\n", "", cell) for cell in cells if not cell.startswith("%%bash")]
    shell = "".join(cell.replace("\\\n", "") for cell in cells if cell.startswith("%%bash"))
    written = re.findall(r"^    (hashbench .*)$", text, re.MULTILINE)
    return code, re.findall(r"^(hashbench .*)$", shell, re.MULTILINE) + written


@pytest.fixture
def follow(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[[str], Outcome]:
    """Follow a page in an empty folder: run commands, each as if in a process of its own."""
    entries.attacks["none"]
    monkeypatch.chdir(tmp_path)

    def run(command: str) -> Outcome:
        before = [dict(group._entries) for group in entries.REGISTRIES]
        words = [SHORT.get(word, word) for word in shlex.split(command)[1:]]
        words += ["--training", "epochs=2"] if words[0] == "run" else []
        found = hashbench(capsys, monkeypatch, *words)
        for group, known in zip(entries.REGISTRIES, before, strict=True):
            group._entries = known
        return found

    return run


def test_the_page_of_a_defense_has_a_file_of_about_25_lines_and_three_commands() -> None:
    (code, _), commands = page("your-defense")
    assert len([line for line in code.splitlines() if line.strip()]) <= 30
    assert [command.split()[1] for command in commands[:3]] == ["check", "run", "compare"]


def test_a_network_and_images_that_hashbench_never_saw_are_measured_in_at_most_eight_lines() -> None:
    code, _ = page("test-your-model")
    (measures,) = (cell for cell in code if "split_of_tensors" in cell)
    assert "hb.evaluate(network, split" in measures
    assert len([line for line in measures.splitlines() if line.strip()]) <= 8
    before = "".join(code[: code.index(measures)])
    assert "network = nn.Sequential(" in before
    assert "images = " in before
    assert "hashbench" not in before


def test_the_readme_leads_to_the_test_of_a_model_in_one_click_from_its_first_screen() -> None:
    first = (DOCS.parent / "README.md").read_text(encoding="utf-8").partition("\n## ")[0]
    assert first.count("(docs/test-your-model.md)") == 1


def test_following_the_page_of_a_defense_leads_to_a_comparison(follow: Callable[[str], Outcome]) -> None:
    (code, _), (check, run, compare, *_) = page("your-defense")
    Path("my_defense.py").write_text(code)
    checked = follow(check)
    assert (checked.code, checked.err) == (0, "")
    assert "FAIL" not in checked.out
    measured = follow(run)
    assert measured.code == 0, measured.err
    assert "one-step" in Path(next(Path("leaderboards").glob("*/matrix.csv"))).read_text()
    compared = follow(compare)
    assert compared.code == 0, compared.err
    assert "one-step" in compared.out


def test_following_the_page_of_an_attack_leads_to_its_column(follow: Callable[[str], Outcome]) -> None:
    (code,), (check, run, _) = page("your-attack")
    Path("my_attack.py").write_text(code)
    checked = follow(check)
    assert (checked.code, checked.err) == (0, "")
    assert "FAIL" not in checked.out
    measured = follow(run)
    assert measured.code == 0, measured.err
    table = pd.read_csv(next(Path("leaderboards").glob("*/matrix.csv")), index_col="defense")
    assert table["signed-steps:steps=2"]["none"] < table["none"]["none"]


def test_following_the_page_of_parts_measures_them_together(follow: Callable[[str], Outcome]) -> None:
    (code,), (data, run, *_) = page("your-network")  # what follows needs data sets and weights
    Path("my_parts.py").write_text(code)
    described = follow(data)
    assert (described.code, described.err) == (0, "")
    assert "stripes: 1 x 12 x 12 pixels, eps 16/255" in described.out
    measured = follow(run)
    assert measured.code == 0, measured.err
    results = pd.read_csv(next(Path("leaderboards").glob("*/results.csv")))
    assert set(results["backbone"]) == {"two-layers"}
    assert set(results["method"]) == {"pairs"}
    assert (results["status"] == "valid").all()


def test_following_the_page_of_a_trained_model_attacks_its_weights(
    follow: Callable[[str], Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    (architecture, train, save), commands = page("your-model")
    Path("my_network.py").write_text(architecture)
    before = [dict(group._entries) for group in entries.REGISTRIES]
    monkeypatch.syspath_prepend(str(Path.cwd()))
    exec(compile(train.replace("range(10)", "range(1)") + save, "save.py", "exec"), {})  # noqa: S102
    for group, known in zip(entries.REGISTRIES, before, strict=True):
        group._entries = known
    measured = follow(commands[0])
    assert measured.code == 0, measured.err
    results = pd.read_csv(next(Path("leaderboards").glob("*/results.csv")))
    assert any(name.startswith("checkpoint:file=sha256-") for name in results["defense"])
    assert (results["status"] == "valid").all()


def test_commands_of_other_pages_exist_with_their_options() -> None:
    for name in (
        "your-model",
        "your-defense",
        "your-attack",
        "attack-every-model",
        "gpu-machine",
        "command-line",
        "index",
        "datasets",
        "cluster",
        "certificates",
    ):
        for text in page(name)[1]:
            words = shlex.split(text, comments=True)[1:]
            command = cli.commands[words[0]]
            known = {option for one in command.params for option in one.opts}
            assert {word.partition("=")[0] for word in words if word.startswith("--")} <= known, text
