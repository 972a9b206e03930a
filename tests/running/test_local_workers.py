"""The processes of `--workers`: what they are forked from, how they end, and who may talk to them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command import QUICK, start, without_log

from hashbench.running.clean_room.rooms import CleanRooms

WORDS = ("run", *QUICK, "--certify", "no", "--workers", "2", "--training", "epochs=5000")


def is_running(process: str) -> bool:
    """Whether a process lives; one that has ended stays in the list until it is reaped."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def trainings(folder: Path) -> list[Path]:
    """Trainings that have begun."""
    return list(folder.glob("runs/trainings/*"))


def descendants(process: int) -> list[str]:
    """A process's children, their children and so on."""
    found = subprocess.run(["pgrep", "-P", str(process)], capture_output=True, text=True, check=False).stdout.split()
    return found + [below for child in found for below in descendants(int(child))]


@pytest.mark.parametrize("everyone", [False, True], ids=["to the command", "to its whole group, as in a terminal"])
@pytest.mark.parametrize("early", [False, True], ids=["in a training", "while torch is imported"])
def test_ctrl_c_leaves_no_worker(tmp_path: Path, everyone: bool, early: bool) -> None:
    run = start(WORDS, tmp_path, group=True)
    until = time.monotonic() + 120
    while time.monotonic() < until and (len(descendants(run.pid)) < 2 if early else not trainings(tmp_path)):
        time.sleep(0.05 if early else 0.2)
    children = descendants(run.pid)
    send = os.killpg if everyone else os.kill
    send(run.pid, signal.SIGINT)
    out, err = run.communicate(timeout=60)
    err, _ = without_log(err)
    assert len(children) >= (2 if early else 4), "of multiprocessing one that tracks and one that forks; two workers"
    assert run.returncode == 130, err
    assert out == ""
    assert err.startswith("stopped: finished cells are kept")
    assert err.count("\n") == 1
    ended = time.monotonic() + 20
    while any(map(is_running, children)) and time.monotonic() < ended:
        time.sleep(0.2)
    assert not [child for child in children if is_running(child)]


def test_workers_have_torch_and_the_environment_of_the_command_as_it_is_then(tmp_path: Path) -> None:
    program = """
import os, signal
from hashbench.running.cluster import fork_server
if __name__ == "__main__":
    before = dict(os.environ)
    fork_server.begin()
    fork_server.begin()
    assert dict(os.environ) == before
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == set()
    from hashbench.running.cluster.connection import connected
    os.environ["SET_SINCE"] = "yes"
    with connected(1, None) as client:
        assert client.submit(os.getenv, "SET_SINCE").result() == "yes"
        assert client.submit(os.getenv, "MALLOC_ARENA_MAX").result() == "1"
        assert client.submit(eval, "'torch' in __import__('sys').modules").result()
        assert client.submit(signal.pthread_sigmask, signal.SIG_BLOCK, ()).result() == {signal.SIGINT}
    assert dict(os.environ) == before | {"SET_SINCE": "yes"}, "Dask sets some"
"""
    (tmp_path / "forked.py").write_text(program)
    done = subprocess.run([sys.executable, "forked.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_client_without_the_certificate_is_refused(tmp_path: Path) -> None:
    program = """
import distributed, pytest
from hashbench.running.cluster.connection import connected
if __name__ == "__main__":
    with connected(1, None) as client:
        address = client.scheduler.address
        assert address.startswith("tls://127.0.0.1:"), address
        worker = next(iter(client.scheduler_info()["workers"]))
        assert worker.startswith("tls://127.0.0.1:"), worker
        assert client.submit(int, "7").result() == 7
        stranger = distributed.Security.temporary().get_connection_args("client")
        open = distributed.Security(require_encryption=False).get_connection_args("client")
        for place in (address, worker):
            for place, words in ((place, stranger), (place.replace("tls:", "tcp:"), open)):
                with pytest.raises(OSError) as refused:
                    client.sync(distributed.rpc(place, connection_args=words, timeout=5).identity)
                print(type(refused.value).__name__, flush=True)
        assert client.submit(int, "8").result() == 8
"""
    (tmp_path / "stranger.py").write_text(program)
    done = subprocess.run([sys.executable, "stranger.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.split()) == 4, done.stdout


def test_helper_processes_import_nothing_from_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("planted", "hashbench", "multiprocessing", "signal", "torch"):
        (tmp_path / f"{name}.py").write_text("open('executed', 'a').write(__name__)")
    program = """
import multiprocessing, sys
from hashbench.running.cluster import fork_server
fork_server.PRELOADED = ["planted"]
if __name__ == "__main__":
    fork_server.begin()
    one = multiprocessing.get_context(fork_server.METHOD).Process(target=print)
    one.start()
    one.join()
"""
    subprocess.run([sys.executable, "-P", "-c", program], cwd=tmp_path, check=True, capture_output=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place])
    rooms = CleanRooms()
    server = rooms._started()
    server.communicate()
    assert server.returncode == 0
    assert not (tmp_path / "executed").exists()
