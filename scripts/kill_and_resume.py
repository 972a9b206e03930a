#!/usr/bin/env python3
"""Kill a run at random moments, damage its store in between, and compare its files with those of an undisturbed run.

Between two starts, single bits of random files of the store are flipped. What is damaged counts as absent and is made
again; what was finished and is not damaged must stay as it was, byte by byte. Each run is forked from this process,
which has everything loaded, so that kills hit the run and not its imports.

Example: scripts/kill_and_resume.py --kills 100 --flips 1
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from shutil import rmtree

import torch

from hashbench.boards import probe_tables, terminal, write  # noqa: F401  # loaded here, once for all runs
from hashbench.cli.main import main as hashbench
from hashbench.evaluation import probe
from hashbench.registry import entries
from hashbench.running import migration, probes, request, runner  # noqa: F401

PLUGIN = Path(__file__).parents[1] / "tests" / "faults" / "odd_entries.py"
KINDS = ("cells", "probes", "models", "databases", "trainings")


def words(*, small: bool) -> list[str]:
    """What is run: two seeds with two trainings each; a small run is one seed, short and without certificates."""
    epochs = 6 if small else 20
    found = ["run", "--plugin", str(PLUGIN), "--dataset", "odd", "--training", f"epochs={epochs}", "--seed", "0"]
    found += ["--defense", f"cgat:epochs={epochs // 2},steps=2"]
    found += ["--attack", "noise", "--attack", f"pgd-hamming:steps={epochs},restarts=1"]
    return [*found, *(["--certify", "no"] if small else ["--seed", "1"])]


def start(run: list[str], store: Path, out: Path) -> int:
    """Start a run in a process of its own; returns its number."""
    number = os.fork()
    if number:
        return number
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    sys.argv = ["hashbench", *run, "--quiet", "--store", str(store), "--out", str(out)]
    code: object = 1
    try:
        hashbench()
    except SystemExit as end:
        code = end.code
    finally:
        os._exit(int(code != 0))


def finish(number: int) -> None:
    """Wait for the end of a run, which must be a good one."""
    if os.waitpid(number, 0)[1]:
        sys.exit("a run that nobody disturbed has failed")


def ended_within(number: int, seconds: float) -> bool:
    """Whether a run ends within some seconds."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if os.waitpid(number, os.WNOHANG)[0]:
            return True
        time.sleep(0.005)
    return False


def finished(store: Path) -> dict[str, dict[str, bytes]]:
    """What is complete in a store, by kind and key, with its files; unfinished trainings are left out."""
    return {
        f"{kind}/{folder.name}": {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
        for kind in KINDS[:-1]
        for folder in sorted(store.glob(f"{kind}/[!.]*"))
    }


def flip(store: Path, draw: random.Random) -> str:
    """Flip one bit of a random file of a store; returns the kind and key of what it damaged, empty if there is none."""
    kinds = [kind for kind in KINDS if any(store.glob(f"{kind}/[!.]*/*"))]
    if not kinds:
        return ""
    path = draw.choice(sorted(store.glob(f"{draw.choice(kinds)}/[!.]*/*")))
    content = bytearray(path.read_bytes())
    content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    path.write_bytes(content)
    return f"{path.parent.parent.name}/{path.parent.name}"


@dataclass
class Disturbed:
    """A run that is killed and damaged again and again, and what came of it."""

    run: list[str]
    root: Path
    draw: random.Random
    seconds: float
    flips: int
    kept: dict[str, dict[str, bytes]] = field(default_factory=dict)
    broken: dict[str, dict[str, bytes]] = field(default_factory=dict)
    hit: set[str] = field(default_factory=set)
    damaged: Counter[str] = field(default_factory=Counter)
    in_trainings: int = 0
    lost: int = 0
    rounds: int = 1

    @property
    def store(self) -> Path:
        """The store of the run."""
        return self.root / "wild"

    def kill(self, number: int) -> bool:
        """Start the run and kill it at a random moment; returns whether the moment came before its end."""
        process, moment = start(self.run, self.store, self.root / "wild-out"), self.draw.uniform(0, self.seconds)
        if ended_within(process, moment):
            self.begin_again()
            return False
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        now = finished(self.store)
        lost = [key for key, files in self.kept.items() if now.get(key) != files]
        savepoints = len(list(self.store.glob("trainings/[!.]*")))
        self.in_trainings += savepoints > 0
        self.lost += len(lost)
        print(
            f"kill {number} after {moment:.2f} s: {len(now)} finished, {len(lost)} lost, {savepoints} savepoints",
            flush=True,
        )
        self.damage()
        now = finished(self.store)
        self.broken = {key: files for key, files in now.items() if key in self.hit or self.broken.get(key) == files}
        self.kept = {key: files for key, files in now.items() if key not in self.broken}
        return True

    def damage(self) -> None:
        """Flip bits; what they hit is not expected to stay, until it is made again."""
        self.hit = {flip(self.store, self.draw) for _ in range(self.flips)} - {""}
        self.damaged.update(key.partition("/")[0] for key in self.hit)

    def begin_again(self) -> None:
        """From nothing: the run was done before the moment came."""
        for folder in (self.store, self.root / "wild-out"):
            rmtree(folder, ignore_errors=True)
        self.kept, self.broken, self.rounds = {}, {}, self.rounds + 1


def content(path: Path) -> object:
    """What a file of a leaderboard holds; of the digests those of probes are left out."""
    if path.name != "digests.json":
        return path.read_bytes()
    digests = json.loads(path.read_text())
    return {**digests, "sha256": {k: v for k, v in digests["sha256"].items() if not k.startswith("probes/")}}


def compare(calm: Path, wild: Path) -> bool:
    """Whether all files of two folders of leaderboards are the same.

    Times differ from run to run, and so do the images in no file that each run draws anew for its probes.
    """
    alike = True
    for path in sorted(path for path in calm.rglob("*") if path.is_file()):
        name = path.relative_to(calm)
        if path.stem == "provenance" or "probes" in name.parts:
            continue
        same = content(path) == content(wild / name)
        print(f"{path.name}: {'identical' if same else 'DIFFERS'}")
        alike &= same
    return alike


def main() -> None:
    """Run once undisturbed, then with kills; exit with 1 if anything was lost or differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--flips", type=int, default=0, help="bits to flip after each kill")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--small", action="store_true", help="a run of about a third of the time")
    options = parser.parse_args()
    torch.set_num_threads(1)
    probe.QUERIES, probe.STEPS, probes.BLACK_BOX = 8, 1, "square-hamming:steps=2"
    entries.attacks["none"]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        began = time.perf_counter()
        run_words = words(small=options.small)
        finish(start(run_words, root / "calm", root / "calm-out"))
        run = Disturbed(run_words, root, random.Random(options.seed), time.perf_counter() - began, options.flips)
        killed = 0
        while killed < options.kills:
            killed += run.kill(killed + 1)
            if run.lost:
                sys.exit(1)
        finish(start(run_words, run.store, root / "wild-out"))
        hits = ", ".join(f"{count} in {kind}" for kind, count in sorted(run.damaged.items())) or "none"
        print(
            f"{killed} kills in {run.rounds} runs, {run.in_trainings} of them with a training under way; flips: {hits}"
        )
        sys.exit(0 if compare(root / "calm-out", root / "wild-out") else 1)


if __name__ == "__main__":
    main()
