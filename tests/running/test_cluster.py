from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from command import QUICK, SMALL_PROBES, UNDRAWN, start, without_log

# Its codes are not encoded again by clean rooms, which take most of the time of so small a run.
FRAGILE = """
import os, signal
from pathlib import Path
from hashbench import Craft, HashModel, Queries, Threat, Victim, attack, defense
from hashbench.running import runner

runner.needs_room = lambda cell: False

HERE = Path(__file__).parent
if (HERE / "no-patience").exists():
    from hashbench.running.cluster import connection
    connection.CONNECT = 1

def note(what):
    with (HERE / "made").open("a") as file:
        file.write(what + "\\n")

def fate(what):
    deadly = HERE / f"kill-in-{what}"
    if deadly.exists():
        victim = int(deadly.read_text() or os.getpid())
        deadly.unlink()
        os.kill(victim, signal.SIGKILL)

@defense("fragile")
def fragile(model, train, method, threat):
    '''Moves weights a little.'''
    note("training")
    for weight in model.parameters():
        weight.data.mul_(0.99)
    fate("training")
    return model

@defense("broken")
def broken(model, train, method, threat):
    '''Raises.'''
    note("broken")
    raise ValueError("no luck")

@attack("brittle")
def brittle(victim: Victim, threat: Threat, *, share: float = 1.0) -> Craft:
    '''Moves all pixels by a share of the budget.'''
    note("attack")
    def craft(queries: Queries):
        fate("attack")
        return threat.project(queries.images + share * threat.eps, queries.images)
    return craft
"""
WORDS = (
    "run", *QUICK, "--certify", "no", "--plugin", "fragile.py", "--defense", "fragile", "--defense", "broken",
    "--attack", "brittle", "--attack", "brittle:share=0.5",
)  # fmt: skip
MADE = ["attack"] * 4 + ["broken"] + ["training"]

SCHEDULER = """
import sys, time
import dask
from distributed import LocalCluster
from hashbench.running.cluster import fork_server
if __name__ == "__main__":
    fork_server.begin()
    dask.config.set({"distributed.worker.multiprocessing-method": fork_server.METHOD})
    with LocalCluster(n_workers=int(sys.argv[1]), threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster:
        print(cluster.scheduler_address, flush=True)
        time.sleep(600)
"""


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where the command ran without workers, and imported nothing of Dask."""
    folder = tmp_path_factory.mktemp("alone")
    (folder / "fragile.py").write_text(SMALL_PROBES + UNDRAWN + FRAGILE)
    program = (
        f"import sys; sys.argv = ['hashbench', *{WORDS!r}]\n"
        "from hashbench.cli.main import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code\n"
        "assert 'torch' in sys.modules and not {'dask', 'distributed'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, cwd=folder)
    assert made(folder) == MADE
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "fragile.py").write_text(SMALL_PROBES + UNDRAWN + FRAGILE)
    return tmp_path


def finish(process: subprocess.Popen[str]) -> str:
    """The lines of progress of a run that ends well and says nothing else."""
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    other, log = without_log(err)
    assert other == ""
    return log


def made(folder: Path) -> list[str]:
    """What was trained and attacked, each as often as it was."""
    return sorted((folder / "made").read_text().split())


def tables(folder: Path) -> list[bytes]:
    (board,) = (folder / "leaderboards").iterdir()
    return [(board / name).read_bytes() for name in ("results.csv", "matrix.csv")]


def scheduler(folder: Path, workers: int) -> tuple[subprocess.Popen[str], str]:
    """A scheduler on loopback with worker processes, and its address."""
    (folder / "scheduler.py").write_text(SCHEDULER)
    process = subprocess.Popen(
        [sys.executable, "scheduler.py", str(workers)],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert process.stdout
    return process, process.stdout.readline().strip()


@pytest.fixture(scope="module")
def three_workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a scheduler on loopback with three worker processes."""
    process, address = scheduler(tmp_path_factory.mktemp("scheduler"), 3)
    yield address
    process.terminate()
    process.communicate()


def test_local_workers_make_each_thing_once_more_tell_of_it_and_change_no_byte(alone: Path, folder: Path) -> None:
    shutil.copytree(alone / "runs", folder / "runs")
    log = finish(start((*WORDS, "--workers", "2", "--fresh"), folder))
    assert tables(folder) == tables(alone)
    assert made(folder) == MADE
    for job in (
        "training the model csq",
        "training fragile",
        "undefended, clean queries",
        "fragile under brittle,",
        "probe of",
    ):
        assert f"start: {job}" in log
        assert f"done: {job}" in log
    assert "failed: training broken, " in log
    assert log.index("start: training broken") < log.index("start: undefended under brittle"), (
        "the next model comes first"
    )
    counted = [int(number) for number in re.findall(r"cells: (\d+) of 9", log)]
    assert max(counted) >= 8, "the last two may end before either line is written"


PATIENT = """
import time
from pathlib import Path
from hashbench import Craft, Queries, Threat, Victim, attack, defense

PROBES = Path(__file__).parent / "runs" / "probes"

@attack("patient")
def patient(victim: Victim, threat: Threat) -> Craft:
    '''Changes nothing, but waits until a model was probed.'''
    def craft(queries: Queries):
        end = time.monotonic() + 60
        while not any(PROBES.glob("*")):
            if time.monotonic() > end:
                raise RuntimeError("no model was probed while cells are measured")
            time.sleep(0.05)
        return queries.images.clone()
    return craft

@defense("same")
def same(model, train, method, threat):
    '''The model as it is.'''
    return model
"""


def test_a_model_is_probed_while_its_other_cells_are_measured_and_its_codes_made_again(folder: Path) -> None:
    (folder / "patient.py").write_text(SMALL_PROBES + UNDRAWN + PATIENT)
    words = ("run", *QUICK, "--certify", "no", "--plugin", "patient.py", "--workers", "2")
    finish(start((*words, "--defense", "same", "--attack", "patient"), folder))
    table = next((folder / "leaderboards").glob("*/results.csv")).read_text()
    assert table.count(",valid") == 4, table
    stored = [path.read_text() for path in folder.glob("runs/cells/**/*.json")]
    assert sum("room_queries" in text for text in stored) == 2, "those of the plugin's defense"


def test_killed_workers_change_no_byte(alone: Path, folder: Path, three_workers: str) -> None:
    for what in ("training", "attack"):
        (folder / f"kill-in-{what}").touch()
    finish(start((*WORDS, "--scheduler", three_workers), folder))
    assert tables(folder) == tables(alone)
    repeated = Counter(made(folder)) - Counter(MADE)  # what a killed worker had under way, and no more than that
    assert repeated["training"] >= 1
    assert repeated["attack"] >= 1
    assert set(made(folder)) == set(MADE)


def test_a_lost_scheduler_is_one_line_and_loses_nothing(alone: Path, folder: Path) -> None:
    process, address = scheduler(folder, 1)
    (folder / "kill-in-attack").write_text(str(process.pid))
    (folder / "no-patience").touch()
    run = start((*WORDS, "--scheduler", address), folder)
    err, _ = without_log(run.communicate(timeout=120)[1])
    process.kill()
    process.communicate()
    assert run.returncode == 2
    assert err.startswith("error: the scheduler is gone; finished cells are kept in ")
    assert err.count("\n") == 1
    assert "training" in made(folder) or "attack" in made(folder)
    finish(start(WORDS, folder))
    assert tables(folder) == tables(alone)


def test_two_runs_on_one_store_do_the_work_once(alone: Path, folder: Path) -> None:
    runs = [start((*WORDS, "--out", out), folder) for out in ("leaderboards", "others")]
    for run in runs:
        finish(run)
    assert tables(folder) == tables(alone)
    (other,) = (path.read_bytes() for path in folder.glob("others/*/results.csv"))
    assert other == tables(alone)[0]
    assert [what for what in made(folder) if what != "broken"] == [what for what in MADE if what != "broken"]


def test_shards_counted_on_workers_add_up(tmp_path: Path, three_workers: str) -> None:
    program = """
import sys
import numpy as np
from hashbench.running.cluster.connection import connected
from hashbench.running.cluster.counting import count_on
from hashbench.metrics.distance_counts import count
if __name__ == "__main__":
    random = np.random.default_rng(0)
    sets = [random.random(shape) < 0.3 for shape in ((20, 48), (20, 21), (5003, 48), (5003, 21))]
    with connected(None, sys.argv[1]) as client:
        found = count_on(client, *sets, shards=8)
    wanted = count(*sets)
    assert (found.items == wanted.items).all() and (found.relevant == wanted.relevant).all()
    assert found.items.sum() == 20 * 5003
"""
    (tmp_path / "shards.py").write_text(program)
    subprocess.run([sys.executable, "shards.py", three_workers], check=True, cwd=tmp_path)
