#!/usr/bin/env python
"""Measure candidates for the attacks' default parameters on validation queries, and write the table of them.

Models have seed 1 and few training images; no test query is seen. A lower score is better: the mean over the
data sets of the mAP that an untargeted attack leaves, or of 1 minus the t-MAP that a targeted one reaches.
A default stays as it is where no candidate of its cost is better by 0.005.

Example: scripts/choose_defaults.py --store runs --attack pharos --attack hag
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import pandas as pd
from undefended import gain, measure

from hashbench.registry import entries
from hashbench.registry.spec import Spec
from hashbench.running.store import Result, Store

DATASETS = ("digits-collage", "fashion-mnist:train=2000")
QUERIES, SEED = 100, 1
SPLITS = ("steps=100,restarts=1", "steps=50,restarts=2", "steps=33,restarts=3", "steps=25,restarts=4")
CANDIDATES: dict[str, tuple[str, ...]] = {
    "apgd-hamming": SPLITS,
    "hag": SPLITS,
    "pgd-own": SPLITS,
    "pharos": (*SPLITS, "steps=50,restarts=3"),
    "sdha": (*SPLITS, "steps=50,restarts=2,ranking=surrogate"),
    "dhta": ("anneal=yes", "anneal=no"),
    "p2p": ("anneal=yes", "anneal=no"),
    "tha": ("steps=50,restarts=1", "steps=25,restarts=2"),
    "pharos-targeted": ("steps=50,restarts=1", "steps=25,restarts=2"),
    "nag": ("epochs=5", "epochs=10", "epochs=20"),
    "transfer": ("epochs=5", "epochs=20"),
    "pros-gan": (
        "reconstruction=1,hashing=5,learning_rate=0.0005",
        "reconstruction=0,hashing=20,learning_rate=0.0005",
        "reconstruction=0,hashing=20,learning_rate=0.0002",
    ),
}


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, default=Path("runs"), help="folder that keeps models and results")
    parser.add_argument("--attack", action="append", choices=CANDIDATES, help="only this one; may be repeated")
    parser.add_argument("--out", type=Path, default=Path("leaderboards/attack-defaults.csv"), help="the table")
    words = parser.parse_args()
    store, rows = Store(words.store), []
    for name in words.attack or CANDIDATES:
        labels = {entries.attacks.choose(Spec.parse(f"{name}:{text}")).label: text for text in CANDIDATES[name]}
        found = {dataset: measure(dataset, list(labels), store, seed=SEED, validation=QUERIES) for dataset in DATASETS}
        lines = [
            row(name, text, {dataset: found[dataset][label] for dataset in DATASETS}, store)
            for label, text in labels.items()
        ]
        best = min(line["score"] for line in lines)
        rows += [{**line, "best": "best" if line["score"] == best else ""} for line in lines]
    table = pd.DataFrame(rows)
    table.to_csv(words.out, index=False, lineterminator="\n", float_format="%.4f")
    sys.stdout.write(table.to_string(index=False, float_format="%.4f", na_rep="") + "\n")


def row(name: str, text: str, found: dict[str, Result], store: Store) -> dict[str, Any]:
    """One line of the table: what a candidate reaches on each data set, and its cost."""
    scores: list[float] = []
    line: dict[str, Any] = {"attack": name, "candidate": text}
    for dataset, result in found.items():
        if result.status != "valid":
            sys.exit(f"{name}:{text} is invalid on {dataset}: {result.reason}")
        numbers, targeted = result.numbers, result.identity["goal"] == "targeted"
        scores.append(1 - numbers["t_map"] if targeted else numbers["map"])
        line[f"{dataset} map"] = numbers["map"]
        if targeted:
            line[f"{dataset} t_map"] = numbers["t_map"]
            line[f"{dataset} t_gain_low"] = gain(result, store)["t_gain_low"]
        line |= {"forwards": numbers["forwards"], "backwards": numbers["backwards"]}
    return {**line, "score": sum(scores) / len(scores)}


if __name__ == "__main__":
    main()
