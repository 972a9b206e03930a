from __future__ import annotations

import os
import re
import shlex
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from command import Command, rows, start, without_log, work_in, write_plugin

from hashbench.cli.main import cli
from hashbench.cli.sections import SECTIONS, outside
from hashbench.registry import entries
from hashbench.training.resume import epochs_left

pytestmark = pytest.mark.usefixtures("registries")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--defense", "cgta"), "no defense is named 'cgta'; did you mean 'cgat'?"),
        (("--attack", "pgd-haming"), "no attack is named 'pgd-haming'; did you mean 'pgd-hamming'?"),
        (("--dataset", "didgits"), "no data set is named 'didgits'; did you mean 'digits'?"),
        (("--method", "cqs"), "no method is named 'cqs'; did you mean 'csq'?"),
        (("--backbone", "cn"), "no backbone is named 'cn'; did you mean 'cnn'?"),
        (("--attack", "zzzzzz"), "take one of"),
        (("--attack", "pgd-hamming:step=3"), "attack 'pgd-hamming' has no parameter 'step'; did you mean 'steps'?"),
        (("--attack", "noise:steps=3"), "attack 'noise' has no parameter 'steps'; it takes no parameters"),
        (("--defense", "cgat:epochs=many"), "defense 'cgat': can't read epochs=many; write a whole number"),
        (("--defense", "cgat:memory=both"), "memory=both is unknown; take one of codes, relaxed"),
        (("--training", "epochs"), "can't read 'epochs' in --training; write parameter=value, such as epochs=30"),
        (("--training", "clean:epoch=2"), "--training has no parameter 'epoch'; did you mean 'epochs'?"),
        (("--training", "epochs=2,epochs=3"), "parameter 'epochs' is given twice in --training; keep one"),
        (("--bits", "abc"), "'abc' is no whole number; give a whole number from 1 to 1024"),
        (("--defense", "checkpoint:file=a,b.pth"), r"write checkpoint:parameter=value, and \, for a comma of a value"),
        (("--defense", r"checkpoint:file=a\,b.pth"), "file=a,b.pth is not a file; give the path of a file"),
        (("--training", "epochs=0"), "--training: epochs=0 is out of range; take a number of at least 1"),
        (("--attack", "pgd-hamming:steps"), "can't read 'steps'"),
        (("--eps", "8"), "--eps='8' is 8; give a budget from 0 to 1"),
        (("--eps", "-0.1"), "--eps='-0.1' is not a budget; give a number from 0 to 1"),
        (("--eps", "much"), "--eps='much' is not a budget; give a number from 0 to 1, such as 0.03 or '8/255'"),
        (("--eps", "nan"), "--eps='nan' is not a budget"),
        (("--norm", "l1"), "'l1' is not one of 'linf', 'l2'"),
        (("--norm", "l2", "--eps", "20000"), "--eps='20000' is 20000; give a budget from 0 to 10000"),
        (("--norm", "l2", "--attack", "art-mim"), "art-mim does not work with norm l2; it works with linf"),
        (("--norm", "l2", "--defense", "ibp"), "ibp does not work with norm l2; it works with linf"),
        (
            ("--norm", "l2", "--attack", "patch-hamming"),
            "patch-hamming does not work with norm l2; it works with patch",
        ),
        (("--patch", "3", "--attack", "hag"), "hag does not work with a patch; it works with linf and l2"),
        (("--patch", "9"), "a patch of 9 pixels is larger than the images; give 8 at most"),
        (("--patch", "3", "--norm", "l2"), "--norm=l2 and --patch=3 exclude each other; leave one of them out"),
        (("--seed", "x"), "'x' is no whole number; give a whole number from 0 to 4294967295"),
        (("--bits", "0"), "0 is out of range; give a whole number from 1 to 1024"),
        (("--defence", "cgat"), "No such option"),
        (("--device", "tpu"), "there is no device 'tpu' here; take cpu or auto"),
        pytest.param(
            ("--device", "cuda"),
            "there is no device 'cuda' here; take cpu or auto",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU"),
        ),
        (("--dataset", "fashion-mnist:root=/absent"), "there is no folder /absent"),
        (("--plugin", "absent.py"), "there is no plugin file absent.py"),
        (("--store", "/proc/nowhere"), "can't write the store /proc/nowhere"),
        (("--out", "/proc/nowhere"), "can't write /proc/nowhere"),
    ],
)
def test_wrong_words_are_one_line_before_anything_is_trained(
    command: Command, words: tuple[str, ...], message: str
) -> None:
    outcome = command("run", *words)
    assert outcome.code == 2
    assert outcome.out == ""
    assert outcome.err.count("\n") == 1
    assert outcome.err.startswith("error: ")
    assert message in outcome.err
    assert not list(Path("runs").glob("models/*"))


def test_report_needs_a_store(command: Command) -> None:
    assert "absent is not a store" in command("report", "--store", "absent").err
    (Path("empty") / "cells").mkdir(parents=True)
    assert "holds no results yet" in command("report", "--store", "empty").err


def test_list_shows_every_entry_with_parameters_and_paper(command: Command, tmp_path: Path) -> None:
    plugin = write_plugin(tmp_path, "mine", "return queries.images")
    outcome = command("list", "--plugin", plugin)
    assert outcome.code == 0
    for entry in (entry for group in entries.REGISTRIES for entry in group):
        assert re.search(rf"^  {entry.name} +{re.escape(entry.summary)}$", outcome.out, re.MULTILINE), entry.name
        assert entry.paper in outcome.out
    assert "steps=20  (at least 1)" in outcome.out
    assert "An attack of my own." in outcome.out
    assert "cgat" not in command("list", "attacks").out
    for name, facts in (("cgat", "trains: yes; transforms: no"), ("jpeg", "trains: no; transforms: yes")):
        assert re.search(rf"^  {name} .*\n +{facts}; threats: linf, l2(, patch)?; paper", outcome.out, re.MULTILINE)


def test_score_prints_the_numbers_of_a_file(command: Command) -> None:
    random = np.random.default_rng(0)
    labels = np.eye(3)[random.integers(0, 3, 40)]
    codes = random.standard_normal((40, 8))
    np.savez(
        "codes.npz",
        query_codes=codes[:4],
        query_labels=labels[:4],
        database_codes=codes[4:],
        database_labels=labels[4:],
    )
    outcome = command("score", "codes.npz", "--queries")
    lines = dict(line.split() for line in outcome.out.splitlines()[:5])
    assert float(lines["map_low"]) <= float(lines["map"]) <= float(lines["map_high"])
    assert lines["n_without_relevant"] == "0"
    assert outcome.out.splitlines()[5] == "query,average_precision,low,high"
    assert len(outcome.out.splitlines()) == 10
    assert command("score", "absent.npz").err.startswith("error: absent.npz is not there")


def test_alone_it_prints_its_help_in_sections_without_cut_sentences(command: Command) -> None:
    said = command().out
    assert [line for line in said.splitlines() if re.fullmatch(r"\w+:", line)] == [
        "Options:", *(f"{title}:" for title in SECTIONS),
    ]  # fmt: skip
    assert not outside(cli.commands)
    assert "..." not in said.replace("[ARGS]...", "")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("list", "defences"), "no list is called 'defences'; did you mean 'defenses'?"),
        (("data", "mnist"), "no data set is named 'mnist'; did you mean 'fashion-mnist'?"),
        (("run", "--suite", "quick.toml"), "the suite of that name is given without an ending: --suite quick"),
        (("run", "--suite", "mien.toml"), "there is no file mien.toml; did you mean 'mine.toml'?"),
        (("run", "--suite", "mine"), "no suite is named 'mine'; take one of"),
        (("run", "--suite", "mine"), ", or give the file's path: mine.toml"),
        (("run", "--suite", "quik"), "'quik'; did you mean 'quick'? If not, give the path of a .toml file"),
        (("run", "--suite", "zzz.toml"), "the suites that come with hashbench are"),
        (("data", "lists:root=a", "--root", "b"), "two folders are given: root=a and --root b; leave one of them out"),
        (("compair",), "Did you mean 'compare'?"),
    ],
)
def test_wrong_names_get_the_nearest_right_one(command: Command, words: tuple[str, ...], message: str) -> None:
    Path("mine.toml").write_text("")
    outcome = command(*words)
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert message in outcome.err


EXAMPLES = {"cli": cli, **cli.commands}
VARIANTS = """
[[run]]
dataset = "digits"
seed = [1000]
defense = ["cgat", "cgat:ema=0.5"]
attack = ["pgd-hamming:steps=2,restarts=1"]
"""


@pytest.fixture
def few_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A part of the digits and of each training, in this process."""
    cut_digits(monkeypatch)


def cut_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few images, and trainings that end after an epoch, whatever their recipe."""
    monkeypatch.setattr("hashbench.datasets.digits.TRAIN", 300)
    monkeypatch.setattr("hashbench.datasets.digits.QUERIES", 60)
    monkeypatch.setattr("hashbench.datasets.digits.VALIDATION", 60)
    monkeypatch.setattr("hashbench.training.loop.epochs_left", lambda state, epochs, name: epochs_left(state, 1, name))


@pytest.mark.usefixtures("few_digits")
@pytest.mark.parametrize("name", EXAMPLES)
def test_every_help_ends_in_an_example_that_works(
    command: Command, name: str, worked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(worked)
    shown = command(*([] if name == "cli" else [name]), "--help").out
    example = shown.rstrip().splitlines()[-1].strip()
    assert example.startswith("Example: hashbench ")
    board = str(next(path.parent for path in Path("leaderboards").glob("*/results.csv")))
    words = [board if word == "BOARD" else word for word in shlex.split(example.removeprefix("Example: hashbench "))]
    done = command(*words)
    assert done.code == 0, done.err


@pytest.fixture(scope="module")
def worked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where the main job was run on a part of the digits and a file of codes lies."""
    folder = tmp_path_factory.mktemp("worked")
    random = np.random.default_rng(0)
    labels, codes = np.eye(3)[random.integers(0, 3, 40)], random.standard_normal((40, 8))
    arrays = {"query_codes": codes, "query_labels": labels, "database_codes": codes, "database_labels": labels}
    np.savez(folder / "codes.npz", **arrays)  # type: ignore[arg-type]
    with pytest.MonkeyPatch.context() as patch:
        cut_digits(patch)
        done = work_in(folder, "run", "--defense", "cgat", "--attack", "pgd-hamming", "--keep-models")
        queries = entries.datasets["digits"].function().queries
    assert done.code == 0, done.err
    write_plugin(folder, "mine", "return queries.images")
    (folder / "variants.toml").write_text(VARIANTS)
    clean = queries.images[torch.arange(2)]
    np.savez(folder / "images.npz", images=(clean + 0.05).clamp(0, 1).numpy(), index=np.arange(2))
    (folder / "said.txt").write_text(done.out)
    return folder


def test_bars_stay_away_from_files(worked: Path) -> None:
    assert "\x1b" not in (worked / "said.txt").read_text()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where the main job was run as users run it."""
    folder = tmp_path_factory.mktemp("whole")
    process = start(["run", "--defense", "cgat", "--attack", "pgd-hamming"], folder)
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert "\x1b" not in out
    return folder


@pytest.mark.slow
def test_the_main_job_reaches_its_numbers(whole: Path) -> None:
    table = rows(whole / "leaderboards").set_index(["defense", "attack"])["map"]
    assert table["none", "none"] >= 0.95
    assert table["none", "pgd-hamming"] <= 0.45
    assert table["cgat", "none"] >= 0.95
    assert table["cgat", "pgd-hamming"] >= 0.65


@pytest.mark.slow
def test_sound_models_raise_no_flag_and_break_when_everything_is_allowed(whole: Path) -> None:
    (folder,) = (path for path in (whole / "leaderboards").iterdir() if path.is_dir())
    sanity, curve = (pd.read_csv(folder / f"{name}.csv") for name in ("sanity", "curve"))
    assert sanity.defense.tolist() == ["none", "cgat"]
    assert sanity["flags"].isna().all()
    for row in sanity.itertuples():
        points = curve[curve.defense == row.defense]
        assert points.eps.tolist()[0] == 0
        assert points["map"].tolist()[0] == row.map_clean
        assert points["map"].is_monotonic_decreasing
        assert points["map"].tolist()[-1] <= row.chance_map
        assert points["map"].between(points.ci_low, points.ci_high).all()


def test_help_is_fast_and_imports_no_torch(tmp_path: Path) -> None:
    script = Path(sys.executable).with_name("hashbench")
    times = []
    for _ in range(5):
        began = time.perf_counter()
        subprocess.run([script, "--help"], check=True, capture_output=True, cwd=tmp_path)
        times.append(time.perf_counter() - began)
    program = (
        "import sys; sys.argv = ['hashbench', '--help']\n"
        "from hashbench.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "assert not {'torch', 'numpy', 'pandas', 'rich'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, cwd=tmp_path)
    assert statistics.median(times) < 0.4 * (2 if os.getloadavg()[0] > os.cpu_count() else 1)  # type: ignore[operator]


@pytest.mark.parametrize("wait", [0.0, 2.0, 5.5])
def test_ctrl_c_is_one_line_that_says_how_to_go_on(tmp_path: Path, wait: float) -> None:
    process = start(["run", "--defense", "cgat:epochs=200"], tmp_path)
    maps, until = Path(f"/proc/{process.pid}/maps"), time.monotonic() + 60
    while "libtorch_cpu" not in maps.read_text() and time.monotonic() < until:
        time.sleep(0.01)  # Python itself and the command's words, which no Ctrl-C can interrupt so politely, come first
    time.sleep(wait)
    process.send_signal(signal.SIGINT)
    err, _ = without_log(process.communicate(timeout=60)[1])
    assert process.returncode == 130
    assert err.startswith("stopped")
    assert err.count("\n") == 1
