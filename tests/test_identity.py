"""Keys follow versions, not the code's text or place: what a refactoring changes, and what it does not."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from command import write_plugin
from toys import random_images

from hashbench.evaluation import judge, probe
from hashbench.models.data import split_of_tensors
from hashbench.registry import entries
from hashbench.registry.entries import Choice, load_plugin
from hashbench.registry.spec import Spec
from hashbench.running import cell as cells
from hashbench.running.cell import Cell, Subject, plan
from hashbench.running.probes import probe_key
from hashbench.threat import Threat
from hashbench.training import loop
from hashbench.training.undefended import clean_training

PACKAGE = Path(cells.__file__).resolve().parent.parent
ATTACKS = ("none", "pgd-hamming", "dhta", "transfer", "standard", "uap-hamming")

# Prints the keys and seeds of every defense under some attacks, of a training and of a helper.
PROGRAM = f"""
import json, pathlib, hashbench
from hashbench.registry import entries
from hashbench.registry.spec import Spec
from hashbench.running.cell import Subject, plan
from hashbench.running.probes import probe_key
from hashbench.threat import Threat
from hashbench.training import loop
from hashbench.training.undefended import clean_training

def choose(group, name):
    return group.choose(Spec(name))

data = choose(entries.datasets, "digits")
subject = Subject(
    data, data.call(), choose(entries.backbones, "cnn"), choose(entries.methods, "csq"),
    entries.choose_clean(clean_training, ""), 32,
)
defenses = [choose(entries.defenses, entry.name) for entry in entries.defenses]
attacks = [choose(entries.attacks, name) for name in {ATTACKS}]
found = {{"home": str(pathlib.Path(hashbench.__file__).parent)}}
for cell in plan(subject, Threat(0.1), (0, 1), defenses, attacks):
    found[f"{{cell.defense.label}} {{cell.attack.label}} {{cell.attacker}} {{cell.seed}}"] = [
        cell.key, cell.clean_key, cell.defended_key, probe_key(cell), cell.clean_seed, cell.defense_seed,
        cell.attack_seed, cell.target_seed,
        cell.helper_key("helper", {{"steps": 3}}, clean_training, of_victim=True, versions={{}}),
        cell.helper_key("helper", {{"steps": 3}}, clean_training, of_victim=False, versions={{}}),
    ]
print(json.dumps(found))
"""


def copied(folder: Path) -> Path:
    """A copy of the package, with the folders that its links lead to."""
    shutil.copytree(PACKAGE, folder / "hashbench", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def keys(folder: Path) -> dict[str, Any]:
    """The keys and seeds that the package in a folder gives."""
    told = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=folder, env=told, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert Path(found.pop("home")).is_relative_to(folder)
    return found


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return keys(copied(tmp_path_factory.mktemp("untouched")))


def modules(folder: Path) -> list[Path]:
    return sorted((folder / "hashbench").rglob("*.py"))


def rename_local_variables(folder: Path) -> int:
    """Rename a local variable of every module that has one; returns in how many."""
    return sum(map(rename_local_variable, modules(folder)))


def rename_local_variable(path: Path) -> bool:
    lines = path.read_bytes().splitlines(keepends=True)
    functions = (node for node in ast.walk(ast.parse(b"".join(lines))) if isinstance(node, ast.FunctionDef))
    for function in functions:
        inside = list(ast.walk(function))
        bound = {node.arg for node in inside if isinstance(node, ast.arg)}
        bound |= {name for node in inside if isinstance(node, ast.Nonlocal | ast.Global) for name in node.names}
        bound |= {node.name for node in inside if isinstance(node, ast.FunctionDef | ast.ClassDef)}
        names = [node for node in inside if isinstance(node, ast.Name) and node.id not in bound]
        stored = sorted({node.id for node in names if isinstance(node.ctx, ast.Store)})
        if stored:
            places = [node for node in names if node.id == stored[0]]
            for node in sorted(places, key=lambda node: (node.lineno, node.col_offset), reverse=True):
                line, at = lines[node.lineno - 1], node.col_offset
                assert line[at:].startswith(stored[0].encode())
                lines[node.lineno - 1] = line[:at] + b"renamed_" + line[at:]
            path.write_bytes(b"".join(lines))
            return True
    return False


def move_a_module(folder: Path) -> int:
    """Give the step rules another name and another folder, with every import rewritten."""
    (folder / "hashbench/crafting/step_rules.py").rename(folder / "hashbench/models/strides.py")
    return sum(
        substitute(path, r"hashbench\.crafting\.step_rules\b", "hashbench.models.strides") for path in modules(folder)
    )


def edit_docstrings(folder: Path) -> int:
    """Put a word before every docstring and a comment behind every decorator line."""
    return sum(substitute(path, r'(?m)^(\s*)(r?""")(?=\w)', r"\1\2Reworded. ") for path in modules(folder))


def substitute(path: Path, pattern: str, text: str) -> bool:
    old = path.read_text(encoding="utf-8")
    new = re.sub(pattern, text, old)
    path.write_text(new, encoding="utf-8")
    return new != old


@pytest.mark.parametrize(("edit", "least"), [(rename_local_variables, 10), (move_a_module, 5), (edit_docstrings, 100)])
def test_a_refactoring_changes_no_key(
    edit: Callable[[Path], int], least: int, untouched: dict[str, Any], tmp_path: Path
) -> None:
    assert edit(copied(tmp_path)) >= least
    assert keys(tmp_path) == untouched


def test_raised_versions_and_other_defaults_change_the_keys_of_their_own_cells(
    untouched: dict[str, Any], tmp_path: Path
) -> None:
    """What the edits above leave alone is not left alone because nothing is looked at."""
    package = copied(tmp_path) / "hashbench"
    assert substitute(package / "defenses/cgat.py", r'@defense\(\s*"cgat",', '@defense("cgat", version=2,')
    assert substitute(package / "attacks/dhta.py", r"anchors: Count = \d+", "anchors: Count = 5")
    now = keys(tmp_path)
    assert now.keys() == untouched.keys()
    assert {name for name in now if now[name] != untouched[name]} == {
        name for name in now if name.startswith("cgat ") or " dhta " in name
    }


def test_no_two_cells_share_a_key(untouched: dict[str, Any]) -> None:
    found = list(untouched.values())
    assert len(found) > 2 * 14 * len(ATTACKS)
    assert len({key for key, *_ in found}) == len(found)
    assert len({clean for _, clean, *_ in found}) == 2


def cell(defense: Choice[Any] | None = None, attack: Choice[Any] | None = None, **words: Choice[Any]) -> Cell:
    """A cell of a toy split, of cgat under pgd-hamming unless others are given."""
    sets = {name: random_images(9, seed=seed) for seed, name in enumerate(("train", "queries", "validation"))}
    split = split_of_tensors(**sets, database=random_images(20, seed=3), eps=0.1)
    subject = Subject(
        words.get("dataset") or entries.datasets.choose(Spec("digits")),
        split,
        words.get("backbone") or entries.backbones.choose(Spec("cnn")),
        words.get("method") or entries.methods.choose(Spec("csq")),
        entries.choose_clean(clean_training, ""),
        16,
    )
    attack = attack or entries.attacks.choose(Spec("pgd-hamming"))
    (found,) = plan(subject, Threat(0.1), (0,), [defense or entries.defenses.choose(Spec("cgat"))], [attack])
    return found


def raised(group: entries.Registry[Any], name: str) -> Choice[Any]:
    """An entry with its version raised."""
    choice = group.choose(Spec(name))
    return replace(choice, entry=replace(choice.entry, version=choice.entry.version + 1))


def changed(old: Cell, new: Cell) -> set[str]:
    """Which keys and seeds of two cells differ."""
    named = {
        "cell": lambda one: one.key, "clean": lambda one: one.clean_key, "defended": lambda one: one.defended_key,
        "probe": probe_key, "seeds": seeds,
    }  # fmt: skip
    return {name for name, key in named.items() if key(old) != key(new)}


def seeds(one: Cell) -> Sequence[int]:
    _, helper = one.helper_key("helper", {}, dict, of_victim=True, versions={})
    return one.clean_seed, one.defense_seed, one.attack_seed, one.target_seed, helper


def test_a_raised_version_of_an_attack_changes_the_keys_of_its_cells_alone() -> None:
    assert changed(cell(), cell(attack=raised(entries.attacks, "pgd-hamming"))) == {"cell"}


def test_a_raised_version_of_a_defense_changes_the_keys_of_defended_models() -> None:
    assert changed(cell(), cell(raised(entries.defenses, "cgat"))) == {"cell", "defended", "probe"}


@pytest.mark.parametrize(
    ("role", "group", "name"),
    [
        ("dataset", entries.datasets, "digits"),
        ("backbone", entries.backbones, "cnn"),
        ("method", entries.methods, "csq"),
    ],
)
def test_a_raised_version_of_a_model_s_part_changes_all_keys_and_no_seed(
    role: str, group: entries.Registry[Any], name: str
) -> None:
    assert changed(cell(), cell(**{role: raised(group, name)})) == {"cell", "clean", "defended", "probe"}


def test_a_raised_version_of_the_training_changes_all_keys_and_no_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    old = cell()
    before = {name: getattr(old, name) for name in ("key", "clean_key", "defended_key")}, probe_key(old), seeds(old)
    monkeypatch.setattr(cells, "TRAINING_VERSION", loop.TRAINING_VERSION + 1)
    new = cell()
    assert all(getattr(new, name) != key for name, key in before[0].items())
    assert probe_key(new) != before[1]
    assert seeds(new) == before[2]


def test_raised_versions_of_judge_and_probe_change_what_they_measure(monkeypatch: pytest.MonkeyPatch) -> None:
    old = cell()
    old_key, old_probe = old.key, probe_key(old)
    monkeypatch.setattr(cells, "PROTOCOL_VERSION", judge.PROTOCOL_VERSION + 1)
    assert cell().key != old_key
    assert changed(old, cell()) <= {"cell", "probe"}
    monkeypatch.undo()
    monkeypatch.setattr("hashbench.running.probes.PROBE_VERSION", probe.PROBE_VERSION + 1)
    assert cell().key == old_key
    assert probe_key(cell()) != old_probe


@pytest.mark.parametrize("inner", ["backbone", "method", "attack"])
def test_the_version_of_an_entry_that_a_parameter_names_is_part_of_the_key(
    inner: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = cell(attack=entries.attacks.choose(Spec("transfer")))
    group: entries.Registry[Any] = next(group for group in entries.REGISTRIES if group.kind == inner)
    name = str(old.attack.params[inner])
    assert old.key
    monkeypatch.setitem(group._entries, name, replace(group[name], version=2))
    new = replace(old, attack=entries.attacks.choose(Spec("transfer")))
    assert changed(old, new) == {"cell"}


@contextmanager
def plugin(folder: Path, body: str, comment: str = "") -> Iterator[Choice[Any]]:
    """The attack of a plugin's file, which is forgotten afterwards."""
    before = [dict(group._entries) for group in entries.REGISTRIES]
    folder.mkdir()
    path = write_plugin(folder, "mine", body)
    path.write_text(path.read_text() + comment)
    load_plugin(path)
    try:
        yield entries.attacks.choose(Spec("mine"))
    finally:
        for group, known in zip(entries.REGISTRIES, before, strict=True):
            group._entries = known


def test_a_plugin_s_code_is_part_of_its_cells_keys_and_its_comments_are_not(tmp_path: Path) -> None:
    def made(folder: str, body: str, comment: str = "") -> Cell:
        with plugin(tmp_path / folder, body, comment) as choice:
            found = cell(attack=choice)
            assert found.key
            return found

    old = made("old", "return queries.images")
    assert changed(old, made("commented", "return queries.images", "# why\n")) == set()
    assert changed(old, made("edited", "return queries.images.clone()")) == {"cell"}


def test_toy_images_are_the_same_each_time() -> None:
    one, two = cell().subject.split, cell().subject.split
    assert one.digest == two.digest
    assert torch.equal(one.train.images[torch.arange(9)], two.train.images[torch.arange(9)])
