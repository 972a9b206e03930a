#!/usr/bin/env python
"""Probe sound models over several seeds and data sets, and list the flags they raise: none may cost them their rank.

Models that are not in the store are trained first. Flags that cost no rank are listed and do no harm.

Example: scripts/check_flags.py --store runs --dataset digits --seed 0
"""

from __future__ import annotations

import argparse
import sys
from itertools import product
from pathlib import Path

import torch

from hashbench.boards.leaderboard import leaderboards
from hashbench.boards.probe_tables import reports_of
from hashbench.boards.ranking import DISQUALIFYING
from hashbench.registry import entries
from hashbench.registry.spec import Spec
from hashbench.running.request import Request, load_once
from hashbench.running.runner import run
from hashbench.running.store import Store

DATASETS = ("digits", "digits-collage", "fashion-mnist")
NEEDS_A_FILE = ("checkpoint",)
BY_DESIGN = {"noise-smoothing": {"stochastic"}}  # it draws random numbers, so that nobody can rank it
SEEDS = (0, 1, 2)
SHOWN = ("map_clean", "map_white_box", "map_new", "map_new_attacked", "wrong_gradient_share", "still_share")


def main() -> None:
    """Probe, print a line a model, and fail if there is a flag."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, default=Path("runs"), help="folder that keeps models and probes")
    parser.add_argument("--dataset", action="append", help=f"may be repeated; {', '.join(DATASETS)} by default")
    parser.add_argument("--defense", action="append", help="may be repeated; every shipped one by default")
    parser.add_argument("--method", action="append", help="may be repeated; csq by default, all for every shipped one")
    parser.add_argument("--seed", action="append", type=int, help="may be repeated; 0, 1, 2 by default")
    parser.add_argument("--tuned", type=Path, help="a table of hashbench tune")
    parser.add_argument("--attack", action="append", default=[], help="of the table beside the probe; may be repeated")
    words = parser.parse_args()
    shipped = [entry.name for entry in entries.defenses if entry.name not in NEEDS_A_FILE]
    torch.set_num_threads(1)
    store, failed = Store(words.store), False
    methods = words.method or ["csq"]
    methods = [entry.name for entry in entries.methods] if methods == ["all"] else methods
    for dataset, method in product(words.dataset or DATASETS, methods):
        defenses, seeds = tuple(words.defense or shipped), tuple(words.seed or SEEDS)
        request = Request(
            dataset=dataset, method=method, defenses=defenses, attacks=tuple(words.attack), seeds=seeds,
            tuned=words.tuned,
        )  # fmt: skip
        results = list(run(request.resolve().cells(load_once()), store, torch.device("cpu"), probing=True))
        for board in leaderboards(results):
            for report in reports_of(board, store):
                numbers = " ".join(f"{name} {report.signals[name]:.3f}" for name in SHOWN if name in report.signals)
                flags = " ".join(report.flags) or report.reason or "no flag"
                sys.stdout.write(f"{dataset}, {method}, {report.defense}, seed {report.seed}: {flags}; {numbers}\n")
                costly = set(report.flags) & set(DISQUALIFYING) - BY_DESIGN.get(Spec.parse(report.defense).name, set())
                failed |= bool(costly or report.reason)
                sys.stdout.flush()
    sys.exit(int(failed))


if __name__ == "__main__":
    main()
