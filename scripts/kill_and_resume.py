#!/usr/bin/env python3
"""Kill a run at random moments, go on each time, and compare its files with those of an undisturbed run.

Example: scripts/kill_and_resume.py --kills 20
"""

from __future__ import annotations

import argparse
import random
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

WORDS = "--training epochs=2 --defense cgat:epochs=2 --attack noise --attack pgd-hamming --seed 0 --seed 1"


def command(words: str, store: Path, out: Path) -> list[str]:
    """The command line of one run."""
    hashbench = Path(sys.executable).with_name("hashbench")
    return [str(hashbench), "run", *shlex.split(words), "--store", str(store), "--out", str(out)]


def finished(store: Path) -> dict[str, bytes]:
    """The cells that are complete, with their contents."""
    return {path.parent.name: path.read_bytes() for path in store.glob("cells/[!.]*/cell.json")}


def main() -> None:
    """Run once undisturbed, then with kills; exit with 1 if anything was lost or differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--words", default=WORDS, help="options of 'hashbench run' (default: %(default)s)")
    options = parser.parse_args()
    moments = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        began = time.perf_counter()
        subprocess.run(command(options.words, root / "calm", root / "calm-out"), check=True, capture_output=True)
        whole = time.perf_counter() - began
        kept: dict[str, bytes] = {}
        killed = 0
        while killed < options.kills:
            process = subprocess.Popen(
                command(options.words, root / "wild", root / "wild-out"), stdout=subprocess.DEVNULL
            )
            moment = moments.uniform(0, whole)
            try:
                process.wait(moment)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                killed += 1
                now = finished(root / "wild")
                lost = [key for key, content in kept.items() if now.get(key) != content]
                print(f"kill {killed} after {moment:.1f} s: {len(now)} cells finished, {len(lost)} lost")
                if lost:
                    sys.exit(1)
                kept = now
            else:  # it was done before the moment came: start anew
                subprocess.run(["rm", "-r", root / "wild", root / "wild-out"], check=True)
                kept = {}
        subprocess.run(command(options.words, root / "wild", root / "wild-out"), check=True, capture_output=True)
        for path in sorted((root / "calm-out").glob("*/*")):
            if path.is_dir() or path.stem == "provenance":  # times differ
                continue
            same = path.read_bytes() == (root / "wild-out" / path.relative_to(root / "calm-out")).read_bytes()
            print(f"{path.name}: {'identical' if same else 'DIFFERS'}")
            if not same:
                sys.exit(1)


if __name__ == "__main__":
    main()
