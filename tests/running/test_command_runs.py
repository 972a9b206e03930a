"""Runs of the command line: what they write, and what bad attacks, bad defenses and damaged files cost."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from command import QUICK, Command, registries_restored, rows, work_in, write_plugin

from hashbench.errors import ClusterLost
from hashbench.registry import entries, plugins

pytestmark = pytest.mark.usefixtures("registries")


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
    assert folder.name == "digits-cnn-width-8-csq-32bit-clean-epochs-1-linf-32-255"
    assert sorted(path.name for path in folder.iterdir()) == [
        "bracket.png", "bracket.svg", "certificates", "curve.csv", "curve.png", "curve.svg", "digests.json",
        "matrix.csv", "matrix.png", "matrix.svg", "precision-recall.png", "precision-recall.svg", "probes",
        "provenance.csv", "provenance.sha256", "queries", "ranking.csv", "results.csv", "sanity.csv", "tradeoff.png",
        "tradeoff.svg",
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

    monkeypatch.setattr("hashbench.running.runner.judge_crafted", forbidden)
    monkeypatch.setattr("hashbench.training.loop.torch.optim.Adam", forbidden)
    assert command(*words) == first
    assert {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()} == files
    Path("leaderboards").rename("gone")
    assert command("report") == first
    for path in Path("gone").rglob("*.*"):
        assert (Path("leaderboards") / path.relative_to("gone")).read_bytes() == path.read_bytes()


@pytest.mark.usefixtures("undrawn")
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


@pytest.mark.usefixtures("undrawn")
def test_workers_are_connected_only_where_something_is_missing(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("run", *QUICK, "--attack", "noise")
    first = command(*words)

    def refused(*_: object) -> None:
        raise ClusterLost("a cluster is connected")

    monkeypatch.setattr("hashbench.running.cluster.connection.connected", refused)
    monkeypatch.setattr("hashbench.running.cluster.fork_server.begin", lambda: None)
    assert command(*words, "--workers", "2").out == first.out
    for kind in ("certificates", "probes", "cells"):
        missing = next(Path("runs", kind).iterdir())
        missing.rename("away")
        assert "a cluster is connected" in command(*words, "--workers", "2").err, kind
        Path("away").rename(missing)
    assert "a cluster is connected" in command(*words, "--workers", "2", "--fresh").err
    assert "a cluster is connected" in command(*words, "--scheduler", "tcp://127.0.0.1:9").err, "its devices are others"


BAD_ATTACKS = [
    ("not-finite", "return queries.images * float('nan')", "NaN or infinite pixels in"),
    ("wrong-shape", "return queries.images[:, :, 1:]", "the attack returned shape"),
    ("not-images", "return None", "returned a NoneType"),
    ("over-budget", "return queries.images + 0.5", "a pixel moved by 127.5/255, the budget is 32/255"),
    ("in-place", "return queries.images.add_(0.5)", "a pixel moved by 127.5/255"),
    ("out-of-range", "return queries.images - 0.01", "leave [0, 1]"),
    ("raises", "raise ValueError('no\\nluck')", "raised ValueError at raises.py:8: no luck"),
]


@pytest.fixture(scope="module")
def ran_bad_attacks(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, pd.DataFrame]:
    """A run of all bad attacks, and a good one after them: what it printed, and its rows by attack."""
    folder = tmp_path_factory.mktemp("bad")
    words: list[str | Path] = []
    for name, body, _ in BAD_ATTACKS:
        words += ["--attack", name, "--plugin", write_plugin(folder, name, body)]
    with registries_restored():
        outcome = work_in(folder, "run", *QUICK, *words, "--attack", "noise")
    assert outcome.code == 0, outcome.err
    return outcome.out, rows(folder / "leaderboards").set_index("attack")


@pytest.mark.parametrize(("name", "reason"), [(name, reason) for name, _, reason in BAD_ATTACKS])
def test_a_bad_attack_ends_its_own_cell(name: str, reason: str, ran_bad_attacks: tuple[str, pd.DataFrame]) -> None:
    out, table = ran_bad_attacks
    assert f"invalid: undefended under {name}, seed 0: " in out
    assert reason in out
    assert table.status[name] == "invalid"
    assert reason in table.reason[name]
    assert pd.isna(table["map"][name])
    assert table.status[["none", "noise"]].tolist() == ["valid", "valid"]
    assert table["map"]["noise"] > 0.1


@pytest.mark.usefixtures("undrawn")
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


@pytest.mark.usefixtures("undrawn")
def test_a_diverging_training_is_said_and_not_ranked(command: Command) -> None:
    outcome = command("run", "--training", "epochs=1,learning_rate=1e30", "--attack", "noise")
    assert outcome.code == 0
    assert "the loss became nan in epoch 1 of 1; try a learning_rate below 1e+30" in outcome.out
    assert (rows().status == "invalid").all()


@pytest.mark.usefixtures("undrawn")
def test_a_changed_plugin_is_a_new_cell(command: Command, tmp_path: Path) -> None:
    for body, moved in (
        ("return queries.images", 0.0),
        ("return threat.project(queries.images + 0.1, queries.images)", 0.1),
    ):
        plugin = write_plugin(tmp_path, "mine", body)
        entries.attacks._entries.pop("mine", None)
        plugins.forget_code()
        command("run", *QUICK, "--attack", "mine", "--plugin", plugin)
        assert rows().set_index("attack").linf_max["mine"] == pytest.approx(moved, abs=1e-6)
    report = command("report")
    assert report.out.count("mine") == 1


@pytest.mark.usefixtures("undrawn")
def test_damaged_files_in_the_store_are_made_again(command: Command) -> None:
    words = ("run", *QUICK, "--attack", "noise")
    first = command(*words)
    for path in Path("runs").rglob("*.npz"):
        path.write_bytes(path.read_bytes()[:100])
    for path in Path("runs").rglob("*.safetensors"):
        path.write_bytes(b"x" + path.read_bytes()[1:])
    assert command(*words) == first
