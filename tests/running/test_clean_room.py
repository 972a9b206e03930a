"""Fakes that ranked above CgAT once, as plugins, and the processes that find them out."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from hashbench.boards.leaderboard import leaderboards
from hashbench.boards.probe_tables import flags_of, reports_of
from hashbench.boards.ranking import DISQUALIFYING, rank, table
from hashbench.evaluation import probe as probing
from hashbench.registry import entries
from hashbench.running.cell import Cell
from hashbench.running.clean_room import inspection
from hashbench.running.clean_room.inspection import InspectedCell, is_stateful, needs_room
from hashbench.running.clean_room.rooms import CleanRooms
from hashbench.running.clean_room.server import _ended
from hashbench.running.request import Request, load_once
from hashbench.running.runner import Runner, run
from hashbench.running.store import Store
from hashbench.running.victims import DefendedModel, new_model

FAKES = Path(__file__).parents[1] / "fakes"
QUICK = "epochs=6"
CPU = torch.device("cpu")
# Flags of which each fake raises one at least; others may stand beside them.
NAMED = {
    "look-up": {"outputs_do_not_move"},
    "memory": {"stateful"},
    "second-sight": {"stateful"},
    "nearest": {"outputs_do_not_move", "gradient_disagrees"},
    "underflow": {"outputs_do_not_move"},
}


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "QUERIES", 40)
    monkeypatch.setattr(probing, "STEPS", 10)
    monkeypatch.setattr(probing, "TRAIN", 200)
    monkeypatch.setattr(inspection, "MOST", 150)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store that all tests here share: models are trained once."""
    return Store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def rooms() -> CleanRooms:
    """One server for all tests here; each task still has a process of its own."""
    return CleanRooms()


@pytest.fixture(autouse=True)
def _one_server(rooms: CleanRooms, monkeypatch: pytest.MonkeyPatch) -> None:
    started = CleanRooms._started
    monkeypatch.setattr(CleanRooms, "_started", lambda _: started(rooms))


@pytest.fixture
def plugin(request: pytest.FixtureRequest) -> Iterator[Path]:
    """A fake, registered for one test."""
    path = FAKES / f"{request.param.replace('-', '_')}.py"
    entries.load_plugin(path)
    yield path
    del entries.defenses._entries[request.param]


def cells(defense: str, attack: str = "pgd-hamming:steps=8,restarts=1") -> list[Cell]:
    return (
        Request(backbone="cnn:width=8", training=QUICK, defenses=(defense,), attacks=(attack,))
        .resolve()
        .cells(load_once())
    )


@pytest.mark.parametrize(("plugin", "name"), [(name, name) for name in NAMED], indirect=["plugin"], ids=list(NAMED))
def test_a_fake_is_flagged_and_has_no_rank(plugin: Path, name: str, store: Store, tmp_path: Path) -> None:
    defense = f"{name}:epochs=1,steps=1" if name == "underflow" else name
    results = list(run(cells(defense), store, CPU, probing=True, plugins=(plugin,)))
    (board,) = leaderboards(results)
    flags = flags_of(reports_of(board, store))
    assert NAMED[name] & set(flags[defense]), flags
    assert set(flags[defense]) & set(DISQUALIFYING)
    assert "none" not in flags
    path = tmp_path / "ranking.csv"
    table(rank(board, store.arrays, flags)).to_csv(path)
    (row,) = (row for row in csv.DictReader(path.read_text().splitlines()) if row["defense"] == defense)
    assert (row["rank"], row["status"]) == ("", "flagged")


@pytest.mark.parametrize("plugin", ["look-up"], indirect=True)
def test_a_model_without_a_state_gives_the_codes_of_the_run(plugin: Path, store: Store) -> None:
    (clean, attacked) = (r for r in run(cells("look-up"), store, CPU, plugins=(plugin,)) if "room_queries" in r.numbers)
    compared = {name: value for r in (clean, attacked) for name, value in r.numbers.items() if name.startswith("room")}
    assert set(compared) == {"room_queries", "room_alone", "room_database", "room_train"}
    assert all(value[:2] == [0.0, 0.0] for value in compared.values())
    assert not is_stateful(clean.numbers)


@pytest.mark.parametrize("plugin", ["nearest"], indirect=True)
def test_what_can_t_be_made_again_counts_as_stateful(
    plugin: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hashbench.running.cell.defended_key", lambda identity: "another")
    results = list(run(cells("nearest", "noise"), store, CPU, plugins=(plugin,)))
    (found,) = (r.numbers for r in results if (r.identity["defense"], r.identity["attack"]) == ("nearest", "noise"))
    assert "the plugin or the data changed while the command ran" in found["room_reason"]
    assert is_stateful(found)


@pytest.mark.parametrize("plugin", ["look-up"], indirect=True)
def test_trials_and_studies_need_no_process(plugin: Path, tmp_path: Path) -> None:
    asked = Request(training="epochs=1", backbone="cnn:width=4", defenses=("look-up",), queries="validation")
    results = list(run(asked.resolve().cells(load_once()), Store(tmp_path), CPU, plugins=(plugin,)))
    assert [r.status for r in results] == ["valid", "valid"]
    assert not any(name.startswith("room") for r in results for name in r.numbers)


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ({"room_queries": [8 / 1920, 0.0, 1920]}, True),
        ({"room_queries": [8 / 1920, 0.0, 1920], "room_drew": True}, False),
        ({"room_queries": [8 / 1920, 0.0, 1920], "room_database": [1 / 4800, 1 / 4800, 4800]}, False),
        ({"room_queries": [20 / 1920, 0.0, 1920], "room_drew": True}, True),
        ({"room_queries": [0.3, 0.05, 1920], "room_drew": True}, True),
        ({"room_reason": "the process has ended"}, True),
    ],
)
def test_a_model_that_draws_random_numbers_may_differ_by_a_few_bits_more(
    numbers: dict[str, Any], expected: bool
) -> None:
    assert is_stateful(numbers) == expected


def test_networks_of_hashbench_need_no_process(store: Store) -> None:
    results = list(run(cells("median"), store, CPU))
    assert not any(needs_room(cell) for cell in cells("median"))
    assert not any(name.startswith("room") for result in results for name in result.numbers)


SHIPPED = [
    entry.name for entry in entries.defenses if entry.module.startswith("hashbench.") and entry.name != "checkpoint"
]


@pytest.mark.parametrize("name", [name for name in SHIPPED if not entries.defenses[name].trains])
def test_shipped_defenses_that_train_nothing_give_the_same_codes_in_a_process_of_their_own(
    name: str, store: Store
) -> None:
    clean = cells(name, "none")[-1]
    assert clean.defense.name == name
    assert_same_codes(clean, store)


@pytest.mark.parametrize("name", [name for name in SHIPPED if entries.defenses[name].trains])
def test_shipped_defenses_that_train_give_the_same_codes_in_a_process_of_their_own(name: str, store: Store) -> None:
    clean = cells(f"{name}:epochs=1", "none")[-1]
    assert_same_codes(clean, store)


@pytest.mark.parametrize("name", [entry.name for entry in entries.backbones if entry.name in ("cnn", "resnet20")])
def test_shipped_backbones_give_the_same_codes_in_a_process_of_their_own(name: str, store: Store) -> None:
    (clean,) = Request(backbone=name, training="epochs=1").resolve().cells(load_once())
    assert new_model(clean.subject).bits == 32
    assert_same_codes(clean, store)


def assert_same_codes(cell: Cell, store: Store) -> None:
    runner = Runner(store, CPU)
    model = runner.victims.defended(cell)
    assert isinstance(model, DefendedModel)
    (result,) = run([cell], store, CPU)
    queries = runner.victims.split(cell).queries
    rows = torch.arange(60)
    watched = InspectedCell(cell, runner.rooms, store.root, (), CPU, rows, [queries.images[rows]])
    numbers = watched.numbers(model.victim, store.arrays(result))
    assert not is_stateful(numbers), numbers
    drew = numbers.pop("room_drew", False)
    assert drew == (cell.defense.name == "noise-smoothing")
    assert set(numbers) == {"room_queries", "room_alone", "room_database"}, numbers
    if not drew:
        assert all(value[0] < 1e-4 for value in numbers.values()), numbers


READS = """
import os
from torch import nn
from hashbench import HashModel, defense

class Reads(nn.Module):
    def forward(self, images):
        os.read(0, 1)
        return images

@defense("reads", trains=False)
def reads(model, train, method, threat):
    '''Reads the standard input in each pass.'''
    return HashModel(nn.Sequential(Reads(), model.network), model.bits).eval()
"""


def test_a_model_that_reads_its_input_or_takes_too_long_holds_up_nothing(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "reads.py"
    path.write_text(READS)
    with entries.restored():
        entries.load_plugin(path)
        results = list(run(cells("reads", "noise"), store, CPU, plugins=(path,)))
        assert [r.identity["attack"] for r in results if "room_queries" in r.numbers] == ["none", "noise"]
        monkeypatch.setattr(inspection, "MINUTES", 0)
        monkeypatch.setattr(inspection, "PATIENCE", 0)
        *_, late = run(cells("reads", "pgd-hamming:steps=1,restarts=1"), store, CPU, plugins=(path,))
    assert late.numbers["room_reason"] == "the process was ended after 0 s"
    assert is_stateful(late.numbers)


def test_a_process_is_killed_at_its_limit() -> None:
    assert _ended(os.posix_spawnp("true", ["true"], os.environ), 60)
    slow = os.posix_spawnp("sleep", ["sleep", "60"], os.environ)
    assert not _ended(slow, 0.1)
    with pytest.raises(ProcessLookupError):
        os.kill(slow, 0)
