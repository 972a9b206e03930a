from __future__ import annotations

import os
import re
import shlex
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command import QUICK, Outcome, hashbench, start

from hashbench import registry
from hashbench.cli import cli
from hashbench.fingerprint import code_digest, source_digest

Command = Callable[..., Outcome]

PLUGIN = """
from hashbench import Craft, Queries, Threat, Victim, attack

@attack("{name}")
def my_attack(victim: Victim, threat: Threat) -> Craft:
    '''An attack of my own.'''
    def craft(queries: Queries):
        {body}
    return craft
"""


@pytest.fixture(autouse=True)
def registries() -> Iterator[None]:
    """Plugins of one test are gone in the next."""
    registry.attacks["none"]
    before = [dict(group._entries) for group in registry.REGISTRIES]
    yield
    for group, entries in zip(registry.REGISTRIES, before, strict=True):
        group._entries = entries


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    monkeypatch.chdir(tmp_path)
    return lambda *words: hashbench(capsys, monkeypatch, *words)


def write_plugin(folder: Path, name: str, body: str) -> Path:
    path = folder / f"{name.replace('-', '_')}.py"
    path.write_text(PLUGIN.format(name=name, body=body))
    return path


def rows(folder: Path = Path("leaderboards")) -> pd.DataFrame:
    (path,) = folder.glob("*/results.csv")
    return pd.read_csv(path)


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
        (("--training", "epochs=0"), "--training: epochs=0 is out of range; take a number at least 1"),
        (("--attack", "pgd-hamming:steps"), "can't read 'steps'"),
        (("--eps", "8"), "eps=8 is outside [0, 1]"),
        (("--eps", "-0.1"), "eps=-0.1 is outside [0, 1]"),
        (("--eps", "much"), "can't read --eps much; write a number such as 0.03 or 8/255"),
        (("--eps", "nan"), "can't read --eps nan"),
        (("--seed", "x"), "'x' is not a valid integer"),
        (("--bits", "0"), "0 is not in the range"),
        (("--defence", "cgat"), "No such option"),
        (("--device", "tpu"), "there is no device 'tpu' here; try --device cpu"),
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


def test_the_matrix_holds_the_undefended_row_and_the_clean_column(command: Command) -> None:
    outcome = command("run", *QUICK, "--attack", "noise", "--defense", "cgat:epochs=1,steps=1")
    assert outcome.code == 0
    assert outcome.err == ""
    assert [line.split()[1] for line in outcome.out.splitlines() if line.startswith("│")] == [
        "undefended", "cgat:epochs=1,steps=1", "chance",
    ]  # fmt: skip
    table = rows()
    assert table[["defense", "attack"]].to_numpy().tolist() == [
        ["none", "none"], ["none", "noise"], ["cgat:epochs=1,steps=1", "none"], ["cgat:epochs=1,steps=1", "noise"],
    ]  # fmt: skip
    assert (table.status == "valid").all()
    assert (table["map"].between(table.map_low, table.map_high)).all()
    assert table.map_clean.tolist() == [table["map"][0]] * 2 + [table["map"][2]] * 2
    assert (table.eps == 32 / 255).sum() == 0  # rounded to six decimals like every number
    assert table.eps.tolist() == [0.12549] * 4
    assert table.linf_max.max() <= 32 / 255 + 1e-6
    assert table.forwards.tolist() == [0.0] * 4
    (folder,) = Path("leaderboards").iterdir()
    assert folder.name == "digits-cnn-csq-32bit-clean-epochs-1-linf-32-255"
    assert sorted(path.name for path in folder.iterdir()) == [
        "curve.csv", "curve.png", "curve.svg", "digests.json", "matrix.csv", "matrix.png", "matrix.svg",
        "precision-recall.png", "precision-recall.svg", "provenance.csv", "provenance.sha256", "queries", "ranking.csv",
        "results.csv", "sanity.csv", "tradeoff.png", "tradeoff.svg",
    ]  # fmt: skip
    matrix = pd.read_csv(folder / "matrix.csv")
    assert matrix.defense.tolist() == ["none", "cgat:epochs=1,steps=1", "chance"]
    assert matrix.noise.tolist()[:2] == table["map"].tolist()[1::2]


def test_the_same_command_again_does_nothing_and_prints_the_same(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("run", *QUICK, "--attack", "noise", "--seed", "1", "--seed", "0")
    first = command(*words)
    files = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}

    def forbidden(*words: object, **more: object) -> None:
        raise AssertionError("trained or attacked again")

    monkeypatch.setattr("hashbench.runner.judge", forbidden)
    monkeypatch.setattr("hashbench.training.torch.optim.Adam", forbidden)
    assert command(*words) == first
    assert {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()} == files
    Path("leaderboards").rename("gone")
    assert command("report") == first
    for path in Path("gone").rglob("*.*"):
        assert (Path("leaderboards") / path.relative_to("gone")).read_bytes() == path.read_bytes()


def test_results_depend_neither_on_the_store_nor_on_the_order(command: Command) -> None:
    words = ("run", *QUICK, "--attack", "noise", "--attack", "pgd-hamming:steps=2,restarts=1")
    command(*words)
    (wanted,) = (path.read_bytes() for path in Path("leaderboards").glob("*/results.csv"))
    other = ("--store", "other", "--out", "boards")
    command("run", *QUICK, "--attack", "pgd-hamming:steps=2,restarts=1", *other)
    command(*words, *other)
    (found,) = (path.read_bytes() for path in Path("boards").glob("*/results.csv"))
    assert found == wanted
    command(*words, "--fresh", *other)
    (found,) = (path.read_bytes() for path in Path("boards").glob("*/results.csv"))
    assert found == wanted


@pytest.mark.parametrize(
    ("name", "body", "reason"),
    [
        ("not-finite", "return queries.images * float('nan')", "NaN or infinite pixels in"),
        ("wrong-shape", "return queries.images[:, :, 1:]", "the attack returned shape"),
        ("not-images", "return None", "returned a NoneType"),
        ("over-budget", "return queries.images + 0.5", "a pixel moved by 127.5/255, the budget is 32/255"),
        ("in-place", "return queries.images.add_(0.5)", "a pixel moved by 127.5/255"),
        ("out-of-range", "return queries.images - 0.01", "leave [0, 1]"),
        ("raises", "raise ValueError('no\\nluck')", "raised ValueError at raises.py:8: no luck"),
    ],
)
def test_a_bad_attack_ends_its_own_cell(command: Command, tmp_path: Path, name: str, body: str, reason: str) -> None:
    plugin = write_plugin(tmp_path, name, body)
    outcome = command("run", *QUICK, "--attack", name, "--attack", "noise", "--plugin", plugin)
    assert outcome.code == 0
    assert f"invalid: none under {name}, seed 0: " in outcome.out
    assert reason in outcome.out
    table = rows().set_index("attack")
    assert table.status.to_dict() == {"none": "valid", name: "invalid", "noise": "valid"}
    assert reason in table.reason[name]
    assert pd.isna(table["map"][name])
    assert table["map"]["noise"] > 0.1


def test_a_bad_defense_ends_its_own_row(command: Command) -> None:
    Path("mine.py").write_text(
        "from hashbench import defense\n"
        "@defense('forgets')\n"
        "def forgets(model, train, method, threat):\n"
        "    '''Returns nothing.'''\n"
        "@defense('widens')\n"
        "def widens(model, train, method, threat):\n"
        "    '''Changes the layers.'''\n"
        "    import torch, hashbench\n"
        "    extra = torch.nn.Linear(model.bits, model.bits)\n"
        "    return hashbench.HashModel(torch.nn.Sequential(model.network, extra), model.bits)\n"
    )
    words = ("--defense", "forgets", "--defense", "widens", "--defense", "cgat:epochs=1,steps=1")
    outcome = command("run", *QUICK, *words, "--plugin", "mine.py")
    table = rows().set_index("defense")
    assert table.status.to_dict() == {
        "none": "valid", "cgat:epochs=1,steps=1": "valid", "forgets": "invalid", "widens": "invalid",
    }  # fmt: skip
    assert "returned a NoneType; return a HashModel" in table.reason["forgets"]
    assert "register it with trains=False" in table.reason["widens"]
    assert outcome.code == 0


def test_a_diverging_training_is_said_and_not_ranked(command: Command) -> None:
    outcome = command("run", "--training", "epochs=1,learning_rate=1e30", "--attack", "noise")
    assert outcome.code == 0
    assert "the loss became nan in epoch 1 of 1; try a learning_rate below 1e+30" in outcome.out
    assert (rows().status == "invalid").all()


def test_a_changed_plugin_is_a_new_cell(command: Command, tmp_path: Path) -> None:
    for body, moved in (
        ("return queries.images", 0.0),
        ("return threat.project(queries.images + 0.1, queries.images)", 0.1),
    ):
        plugin = write_plugin(tmp_path, "mine", body)
        registry.attacks._entries.pop("mine", None)
        code_digest.cache_clear()
        source_digest.cache_clear()
        command("run", *QUICK, "--attack", "mine", "--plugin", plugin)
        assert rows().set_index("attack").linf_max["mine"] == pytest.approx(moved, abs=1e-6)
    report = command("report")
    assert report.out.count("mine") == 1


def test_damaged_files_in_the_store_are_made_again(command: Command) -> None:
    words = ("run", *QUICK, "--attack", "noise")
    first = command(*words)
    for path in Path("runs").rglob("*.npz"):
        path.write_bytes(path.read_bytes()[:100])
    for path in Path("runs").rglob("*.safetensors"):
        path.write_bytes(b"x" + path.read_bytes()[1:])
    assert command(*words) == first


def test_report_needs_a_store(command: Command) -> None:
    assert "absent is no store" in command("report", "--store", "absent").err
    (Path("empty") / "cells").mkdir(parents=True)
    assert "holds no results yet" in command("report", "--store", "empty").err


def test_list_shows_every_entry_with_parameters_and_paper(command: Command, tmp_path: Path) -> None:
    plugin = write_plugin(tmp_path, "mine", "return queries.images")
    outcome = command("list", "--plugin", plugin)
    assert outcome.code == 0
    for entry in (entry for group in registry.REGISTRIES for entry in group):
        assert re.search(rf"^  {entry.name} +{re.escape(entry.summary)}$", outcome.out, re.MULTILINE), entry.name
        assert entry.paper in outcome.out
    assert "steps=20  (at least 1)" in outcome.out
    assert "An attack of my own." in outcome.out
    assert "cgat" not in command("list", "attacks").out


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
    assert command("score", "absent.npz").err.startswith("error: there is no file absent.npz")


def test_alone_it_prints_its_help(command: Command) -> None:
    assert "Commands:" in command().out


EXAMPLES = {"cli": cli, **cli.commands}


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_help_ends_in_an_example_that_works(
    command: Command, name: str, worked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(worked)
    shown = command(*([] if name == "cli" else [name]), "--help").out
    example = shown.rstrip().splitlines()[-1].strip()
    assert example.startswith("Example: hashbench ")
    words = shlex.split(example.removeprefix("Example: hashbench "))
    assert command(*words).code == 0


@pytest.fixture(scope="session")
def worked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where the main job was run and a file of codes lies."""
    folder = tmp_path_factory.mktemp("worked")
    random = np.random.default_rng(0)
    labels, codes = np.eye(3)[random.integers(0, 3, 40)], random.standard_normal((40, 8))
    arrays = {"query_codes": codes, "query_labels": labels, "database_codes": codes, "database_labels": labels}
    np.savez(folder / "codes.npz", **arrays)  # type: ignore[arg-type]
    process = start(["run", "--defense", "cgat", "--attack", "pgd-hamming"], folder)
    out, err = process.communicate()
    assert process.returncode == 0, err
    (folder / "said.txt").write_text(out)
    return folder


def test_the_main_job_reaches_its_numbers(worked: Path) -> None:
    table = rows(worked / "leaderboards").set_index(["defense", "attack"])["map"]
    assert table["none", "none"] >= 0.95
    assert table["none", "pgd-hamming"] <= 0.45
    assert table["cgat", "none"] >= 0.95
    assert table["cgat", "pgd-hamming"] >= 0.65


def test_sound_models_raise_no_flag_and_break_when_everything_is_allowed(worked: Path) -> None:
    (folder,) = (path for path in (worked / "leaderboards").iterdir() if path.is_dir())
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


def test_bars_stay_away_from_files(worked: Path) -> None:
    assert "\x1b" not in (worked / "said.txt").read_text()


def test_help_is_fast_and_imports_no_torch(tmp_path: Path) -> None:
    script = Path(sys.executable).with_name("hashbench")
    times = []
    for _ in range(5):
        began = time.perf_counter()
        subprocess.run([script, "--help"], check=True, capture_output=True, cwd=tmp_path)
        times.append(time.perf_counter() - began)
    program = (
        "import sys; sys.argv = ['hashbench', '--help']\n"
        "from hashbench.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "assert not {'torch', 'numpy', 'pandas', 'rich'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, cwd=tmp_path)
    assert statistics.median(times) < 0.4 * (2 if os.getloadavg()[0] > os.cpu_count() else 1)  # type: ignore[operator]


@pytest.mark.parametrize("wait", [0.4, 2.5, 6.0])
def test_ctrl_c_is_one_line_that_says_how_to_go_on(tmp_path: Path, wait: float) -> None:
    process = start(["run", "--defense", "cgat:epochs=200"], tmp_path)
    time.sleep(wait)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.startswith("stopped")
    assert err.count("\n") == 1
