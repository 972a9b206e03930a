from __future__ import annotations

import errno
import hashlib
import json
import os
import pickle
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from filelock import FileLock, Timeout

from hashbench.api import measure
from hashbench.errors import StoreUnusable
from hashbench.running.shared_files import ABANDONED, RETIRED, replaced
from hashbench.running.store import Result, Store, StoredTensors


def result(key: str = "k" * 16) -> Result:
    return Result(key, {"seed": 0}, {"map": 0.1 + 0.2}, {"created_utc": "now"})


def test_gives_back_what_it_was_given(tmp_path: Path) -> None:
    store = Store(tmp_path)
    saved = store.save_cell(result(), {"codes": np.arange(6)})
    assert Store(tmp_path).cell("k" * 16) == saved
    assert list(store.cells()) == [saved]
    assert store.cell("absent") is None
    weights = StoredTensors({"w": torch.randn(3, 2), "n": torch.tensor(7)}, {"seconds": 1.5})
    store.save_model("m", weights)
    found = store.model("m")
    assert found is not None
    assert found.facts == {"seconds": 1.5}
    assert all(torch.equal(found.tensors[name], value) for name, value in weights.tensors.items())
    assert store.model("absent") is None


def test_a_second_save_takes_the_first_ones_place(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for value in (0.5, 0.6):
        store.save_cell(Result("k", {}, {"map": value}, {}), {"x": np.zeros(3)})
    found = store.cell("k")
    assert found is not None
    assert found.numbers == {"map": 0.6}
    assert [path.name for path in (tmp_path / "cells").iterdir()] == ["k"]


def test_a_save_that_is_stopped_while_it_clears_away_the_old_one_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    store.save_training("t", {"w": torch.zeros(2)}, {"epochs": 7})

    def stopped(*given: Any, **words: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("hashbench.running.store.shutil.rmtree", stopped)
    with pytest.raises(KeyboardInterrupt):
        store.save_training("t", {"w": torch.ones(2)}, {"epochs": 8})
    found = store.training("t")
    assert found is not None
    assert found.facts["epochs"] == 8


def test_tensors_that_share_memory_are_stored(tmp_path: Path) -> None:
    layer, store = torch.nn.Linear(2, 2), Store(tmp_path)
    tied = torch.nn.Sequential(layer, torch.nn.Tanh(), layer)
    store.save_model("tied", StoredTensors(tied.state_dict()))
    found = store.model("tied")
    assert found is not None
    assert all(torch.equal(found.tensors[name], value) for name, value in tied.state_dict().items())


@pytest.mark.parametrize("name", ["cell.json", "queries.npz"])
@pytest.mark.parametrize("damage", ["truncated", "absent", "changed"])
def test_a_damaged_cell_counts_as_absent(tmp_path: Path, name: str, damage: str) -> None:
    store = Store(tmp_path)
    store.save_cell(result(), {"codes": np.arange(6)})
    path = tmp_path / "cells" / ("k" * 16) / name
    content = path.read_bytes()
    changed = content.replace(b'"key"', b'"yek"') if name == "cell.json" else content[:-1] + b"x"
    if damage == "absent":
        path.unlink()
    else:
        path.write_bytes(changed if damage == "changed" else content[:30])
    assert store.cell("k" * 16) is None
    assert list(store.cells()) == []


class Bomb:
    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return os.mkdir, ("exploded",)


def test_a_checkpoint_never_executes_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = Store(tmp_path / "store")
    store.save_model("m", StoredTensors({"w": torch.zeros(2)}))
    path = tmp_path / "store" / "models" / "m" / "weights.safetensors"
    path.write_bytes(pickle.dumps(Bomb()))
    assert store.model("m") is None
    assert not Path("exploded").exists()


def test_removes_what_a_killed_process_left_long_ago(tmp_path: Path) -> None:
    Store(tmp_path)
    old, new = (tmp_path / "cells" / f".writing-{name}" for name in ("old", "new"))
    old.mkdir()
    new.mkdir()
    os.utime(old, (0, time.time() - ABANDONED - 1))
    Store(tmp_path)
    assert not old.exists()
    assert new.exists()


def test_what_a_killed_process_had_moved_aside_is_put_back(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.save_model("m", StoredTensors({"w": torch.zeros(2)}))
    models = tmp_path / "models"
    (models / "m").rename(models / f".writing-abc-0{RETIRED}m")
    assert store.model("m") is None
    kept = Store(tmp_path).model("m")
    assert kept is not None
    assert kept.tensors["w"].tolist() == [0, 0]
    (models / f".writing-abc-0{RETIRED}m").mkdir()
    assert Store(tmp_path).model("m") is not None, "what is there already stays"


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOTEMPTY])
def test_an_older_folder_goes_back_where_the_new_one_can_not_take_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    store = Store(tmp_path)
    store.save_model("m", StoredTensors({"w": torch.zeros(2)}))
    rename = Path.rename

    def failing(path: Path, target: Path) -> Path:
        if target.name == "m" and RETIRED not in path.name:
            raise OSError(number, "no")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(StoreUnusable, match="can't write"):
        store.save_model("m", StoredTensors({"w": torch.ones(2)}))
    monkeypatch.undo()
    kept = store.model("m")
    assert kept is not None
    assert kept.tensors["w"].tolist() == [0, 0]
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["m"]


def test_two_that_write_one_folder_at_once_leave_a_whole_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, rename = Store(tmp_path), Path.rename

    def late(path: Path, target: Path) -> Path:
        if target.name == "m" and not target.exists():
            monkeypatch.setattr(Path, "rename", rename)
            store.save_model("m", StoredTensors({"w": torch.zeros(2)}))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", late)
    store.save_model("m", StoredTensors({"w": torch.ones(2)}))
    kept = store.model("m")
    assert kept is not None
    assert kept.tensors["w"].tolist() == [1, 1]
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["m"]


def test_says_where_it_can_not_write(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnusable, match="choose another folder with --store"):
        Store(tmp_path / "file")


def test_a_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from hashbench.running.shared_files import held\n"
        "with held(Path('locks/key'), 'a model'): print('held', flush=True); time.sleep(600)"
    )
    holder = subprocess.Popen([sys.executable, "-c", program], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    assert holder.stdout
    assert holder.stdout.readline() == "held\n"
    waiter = subprocess.Popen([sys.executable, "-c", program], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    assert waiter.stdout
    holder.kill()
    holder.communicate()
    assert waiter.stdout.readline() == "held\n"
    waiter.kill()
    waiter.communicate()


def test_a_checkpoint_is_known_by_the_digest_of_its_file(tmp_path: Path) -> None:
    """Sixteen hexadecimal digits of SHA-256, so that a store of another release is not taken for a damaged one."""
    store = Store(tmp_path)
    store.save_model("key", StoredTensors({"weight": torch.arange(3.0)}, {"key": "key"}))
    folder = tmp_path / "models" / "key"
    digest = hashlib.sha256((folder / "weights.safetensors").read_bytes()).hexdigest()[:16]
    assert json.loads((folder / "model.json").read_text())["weights_digest"] == digest


def test_each_writer_of_a_file_has_a_draft_of_its_own(tmp_path: Path) -> None:
    path, plain = tmp_path / "table.csv", tmp_path / "plain"
    plain.write_text("")
    with replaced(path) as one:
        one.write_text("one")
        with replaced(path) as other:
            other.write_text("other")
        assert path.read_text() == "other"
    assert path.read_text() == "one"
    assert path.stat().st_mode == plain.stat().st_mode
    assert sorted(tmp_path.iterdir()) == [plain, path]


def test_a_draft_is_taken_away_when_its_writer_fails_or_was_killed_an_hour_ago(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    (tmp_path / ".table.csv").write_text("of a killed process")
    os.utime(tmp_path / ".table.csv", (time.time() - 2 * ABANDONED,) * 2)

    def stopped() -> None:
        with replaced(path) as draft:
            assert draft == tmp_path / ".table.csv"
            assert draft.read_text() == ""
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert not list(tmp_path.iterdir())


def test_a_board_is_written_under_a_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path / "runs")

    def written(*given: object) -> Path:
        (lock,) = (tmp_path / "runs" / "locks").iterdir()
        with pytest.raises(Timeout):
            FileLock(lock).acquire(timeout=0)
        return tmp_path

    for name in ("refuse_lost_weights", "prune_zoo"):
        monkeypatch.setattr(measure, name, lambda *given: None)
    monkeypatch.setattr(measure, "write_leaderboard", written)
    board: Any = None
    assert measure.MeasuredBoard(board, (), (), store).write(tmp_path / "out") == tmp_path
