"""A store and a leaderboard made when keys were digests of code: nothing in them is lost, trained or attacked again."""

from __future__ import annotations

import csv
import json
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
from command import Command
from toys import GOLDEN

from hashbench.boards.query_files import read_arrays, read_identity
from hashbench.registry import entries
from hashbench.running import migration
from hashbench.running.migration import migrate_store
from hashbench.running.store import Store
from hashbench.verification.board import verify_board

# The words of the command that made both.
WORDS = (
    "run", "--dataset", "digits", "--bits", "8", "--backbone", "cnn:width=4", "--training", "epochs=1",
    "--defense", "cgat:epochs=1,steps=1", "--defense", "median", "--attack", "noise",
    "--attack", "pgd-hamming:steps=1,restarts=1", "--attack", "p2p:steps=1", "--store", "store", "--certify", "no",
)  # fmt: skip
# The clean query counts in the worst case since version 2 of the ranking, which can only lower it.
WORST = ("map_worst", "ci_low", "ci_high", "worst_attack", "delta_vs_cgat", "delta_ci_low", "delta_ci_high", "p_holm")
CERTIFIED = ("certified", "certified_ci_low", "certified_ci_high", "free_bits", "untouched_share")  # new since then
SINCE = ("rank", "rank_group", "flags", "status", "note")  # of ranking.csv: decided by later probes and rules


pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a store and the leaderboard that was written from it."""
    monkeypatch.chdir(tmp_path)
    with tarfile.open(GOLDEN / "store-0.1.tar.xz") as archive:
        archive.extractall(tmp_path)
    return tmp_path


@pytest.fixture
def _idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever trains or attacks fails."""
    entries.attacks["none"]  # loads all modules, whose types name the optimiser that is replaced below

    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("trained or attacked again")

    monkeypatch.setattr("hashbench.running.runner.judge_crafted", forbidden)
    monkeypatch.setattr("hashbench.training.loop.torch.optim.Adam", forbidden)


def rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def without(table: list[dict[str, str]], *names: str) -> list[dict[str, str]]:
    return [{name: value for name, value in row.items() if name not in names} for row in table]


def assert_same_tables(old: Path, new: Path) -> None:
    keys = ("config_digest", "versions")
    assert without(rows(new / "results.csv"), *keys, "certified") == without(rows(old / "results.csv"), *keys)
    ranked, before = rows(new / "ranking.csv"), rows(old / "ranking.csv")
    assert without(ranked, *CERTIFIED, *WORST, *SINCE) == without(before, "constant_map", *WORST, *SINCE)
    assert all(float(row["map_worst"]) <= float(other["map_worst"]) for row, other in zip(ranked, before, strict=True))
    worst = [name for name in rows(new / "matrix.csv")[0] if name.startswith(("worst", "certified"))]
    assert without(rows(new / "matrix.csv"), *worst) == without(rows(old / "matrix.csv"), *worst)


@pytest.mark.usefixtures("_idle")
def test_the_same_command_gives_the_same_tables_from_the_old_store(old: Path, command: Command) -> None:
    (board,) = (old / "boards").iterdir()
    outcome = command(*WORDS)
    assert (outcome.code, outcome.err.count("carried over: 14 cells, 2 models, 3 probes")) == (0, 1)
    (made,) = Path("leaderboards").iterdir()
    assert_same_tables(board, made)
    assert command(*WORDS).err == ""
    assert command("report", "--store", "store", "--out", "again").err == ""
    assert_same_tables(board, next(Path("again").iterdir()))
    versions = {row["versions"] for row in rows(made / "results.csv")}
    assert [set(json.loads(text).values()) for text in versions] == [{1}]
    assert verify_board(made).problems == []


@pytest.mark.usefixtures("_idle")
def test_one_command_does_it_too(old: Path, command: Command) -> None:
    assert command("migrate", "store").code == 0
    assert command(*WORDS).err == ""


@pytest.mark.usefixtures("_idle")
@pytest.mark.parametrize("step", [0, 1, 3, 6, 11])
def test_it_can_be_killed_at_any_step(old: Path, command: Command, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    calls, rename = iter(range(100)), migration._rename

    def killed(folder: Path, before: str, after: str) -> bool:
        if next(calls) == step:
            raise KeyboardInterrupt
        return rename(folder, before, after)

    monkeypatch.setattr(migration, "_rename", killed)
    with pytest.raises(KeyboardInterrupt):
        migrate_store(Store(Path("store")))
    monkeypatch.setattr(migration, "_rename", rename)
    assert command(*WORDS).code == 0
    assert_same_tables(next((old / "boards").iterdir()), next(Path("leaderboards").iterdir()))


@pytest.mark.usefixtures("_idle")
def test_models_of_a_run_that_was_killed_before_its_cells_are_found(old: Path) -> None:
    store = Store(Path("store"))
    identities = [migration.versioned(result.identity, result.key) for result in store.cells()]
    shutil.rmtree("store/cells")
    shutil.rmtree("store/probes")
    carried = migrate_store(Store(Path("store")), identities)
    assert (len(carried.cells), len(carried.models)) == (0, 2)
    assert all(store.model(key) is not None for key in carried.models)


def test_what_other_code_made_stays_as_version_0_on_a_board_of_its_own(old: Path, command: Command) -> None:
    folder = next(path for path in Path("store/cells").iterdir() if '"noise"' in (path / "cell.json").read_text())
    record = json.loads((folder / "cell.json").read_text())
    (folder / "cell.json").write_text(json.dumps({**record, "key": "0" * 16}))
    folder.rename(folder.with_name("0" * 16))
    command("report", "--store", "store")
    boards = sorted(path.name for path in Path("leaderboards").iterdir())
    assert len(boards) == 2
    assert "version-0" in boards[1]
    assert len(rows(Path("leaderboards") / boards[0] / "results.csv")) == 13
    assert len(rows(Path("leaderboards") / boards[1] / "results.csv")) == 14


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def with_old_keys(folder: Path) -> None:
    """Rewrite a leaderboard's folder as it was before there were versions."""
    keys = {}
    for path in list((folder / "queries").iterdir()):
        arrays = read_arrays(path)
        identity = read_identity(arrays, path.name)
        del identity["versions"]
        found = migration.code_keys(identity)
        assert found is not None
        keys[path.stem] = found.own
        text = np.array(json.dumps(identity, sort_keys=True))
        with path.with_name(f"{found.own}.npz").open("wb") as file:
            np.savez_compressed(file, **{**arrays, "identity": text})  # type: ignore[arg-type]
        path.unlink()
    for name in ("results.csv", "provenance.csv"):
        table = [{**row, "config_digest": keys[row["config_digest"]]} for row in rows(folder / name)]
        with (folder / name).open("w", newline="") as file:
            writer = csv.DictWriter(
                file, [n for n in table[0] if n != "versions"], extrasaction="ignore", lineterminator="\n"
            )
            writer.writeheader()
            writer.writerows(table)


def test_a_leaderboard_keeps_every_digit(old: Path, command: Command) -> None:
    command(*WORDS)
    (made,) = Path("leaderboards").iterdir()
    before = contents(made)
    with_old_keys(made)
    assert contents(made).keys() != before.keys()
    assert command("migrate", "leaderboards").out.endswith(": 14 rows carried over\n")
    assert contents(made) == before
    assert command("migrate", "leaderboards").out.endswith(": 0 rows carried over\n")
