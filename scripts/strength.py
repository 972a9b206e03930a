#!/usr/bin/env python
"""Measure how strong every attack is on undefended models, write the table, and fail if one is too weak.

Example: scripts/strength.py --store runs --out leaderboards/attack-strength.csv
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
from undefended import gain, measure

from hashbench import Queries, Threat, Victim, attack
from hashbench.crafting.gradient_loop import descend
from hashbench.crafting.objectives import agreement
from hashbench.crafting.step_rules import constant
from hashbench.models.codes import encode_batch
from hashbench.models.model import binarize
from hashbench.registry import entries
from hashbench.registry.protocols import Craft
from hashbench.running.store import Result, Store
from hashbench.types import Images

DATASETS = ("digits-collage", "fashion-mnist:queries=300")
PLAIN, PLAIN_OWN = "art-pgd", "plain-own"  # 100 steps of eps / 8 from a random start, the last iterate
STEPS, RATIO = 100, 0.125
SLACK = 1.05  # what a gradient attack of single queries may leave, as a multiple of what plain PGD leaves
LABEL_FREE = ("hag", "pgd-own")  # know no labels: plain PGD on the query's own code is their measure
STRONGEST = ("pharos", "apgd-hamming")  # must not fall behind pgd-hamming
SURROGATE_HEADS = ("art-auto-pgd", "art-hopskipjump")  # aim at a classifier's decision, not at a distance
LIMITED = ("art-fgm", "uap-hamming")  # one step; one perturbation for all
QUIET = 0.02  # mAP that noise may cost
COLUMNS = ("goal", "access", "map", "map_8bit", "t_map", "t_map_clean", "bits_moved", "forwards", "backwards")

Numbers = dict[str, dict[str, Any]]  # by attack


@attack(PLAIN_OWN, paper="Madry et al., ICLR 2018, on the query's own code: the measure of label-free attacks")
def plain_own(victim: Victim, threat: Threat) -> Craft:
    """Plain PGD away from the query's own binary code: what `art-pgd` does to the center code."""

    def craft(queries: Queries) -> Images:
        own = binarize(encode_batch(victim.model, queries.images))
        start = threat.project(queries.images + threat.eps * queries.random(), queries.images)
        found, _ = descend(
            start, queries.images, lambda images: agreement(victim.model(images), own), threat,
            steps=STEPS, step_size=constant(RATIO * threat.eps), keep_best=False,
        )  # fmt: skip
        return found

    return craft


def main() -> None:
    """Measure, write, and list what fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, default=Path("runs"), help="folder that keeps models and results")
    parser.add_argument("--out", type=Path, default=Path("leaderboards/attack-strength.csv"), help="the table")
    words = parser.parse_args()
    store, names = Store(words.store), [entry.name for entry in entries.attacks]
    tables, failures = [], []
    for dataset in DATASETS:
        results = measure(dataset, names, store, seed=0)
        rows = {name: row(result, store) for name, result in results.items()}
        add_measures(rows)
        failures += [f"{dataset}: {failure}" for failure in weak(results, rows)]
        tables.append(pd.DataFrame(rows.values()).assign(dataset=dataset).set_index("dataset").reset_index())
    table = pd.concat(tables)
    table.to_csv(words.out, index=False, lineterminator="\n", float_format="%.4f")
    sys.stdout.write(table.to_string(index=False, na_rep="") + "\n")
    sys.exit("\n".join(failures) or 0)


def row(result: Result, store: Store) -> dict[str, Any]:
    """One line of the table."""
    facts = {**result.identity, **result.numbers}
    targeted = result.status == "valid" and facts["goal"] == "targeted"
    gained = gain(result, store) if targeted else {}
    return {
        "attack": facts["attack"],
        **{name: facts.get(name) for name in COLUMNS},
        **{name: gained.get(name) for name in ("t_gain", "t_gain_low", "t_gain_high")},
        "status": result.status,
    }


def add_measures(rows: Numbers) -> None:
    """Beside each untargeted attack: what plain PGD leaves that knows what the attack may know, and the share."""
    for name, line in rows.items():
        measured = line["goal"] == "untargeted" and line["access"] == "white"
        plain = PLAIN_OWN if name in (*LABEL_FREE, PLAIN_OWN) else PLAIN
        left = rows[plain]["map"]
        line["plain_guide"] = {PLAIN: "center code", PLAIN_OWN: "own code"}[plain] if measured else None
        line["plain_map"] = left if measured else None
        line["of_plain_map"] = line["map"] / left if measured and left and line["map"] else None


def weak(results: dict[str, Result], rows: Numbers) -> Iterator[str]:
    """What is weaker than it must be."""
    invalid = [f"{name} is invalid: {result.reason}" for name, result in results.items() if result.status != "valid"]
    yield from invalid
    if invalid:
        return
    left = {name: line["map"] for name, line in rows.items()}
    for name, line in rows.items():
        if line["goal"] == "targeted":
            yield from weak_targeted(name, line, rows["dhta"]["t_map"])
        held = line["plain_map"] is not None and name not in (*SURROGATE_HEADS, *LIMITED)
        if held and line["of_plain_map"] > SLACK:
            yield f"{name} leaves mAP {left[name]:.4f}, more than {SLACK} times {line['plain_map']:.4f}"
        if line["goal"] == "untargeted" and line["access"] != "white" and left[name] < left["pgd-hamming"]:
            yield f"{name} beats white-box attacks: mAP {left[name]:.4f}"
    for name in STRONGEST:
        if left[name] > left["pgd-hamming"]:
            yield f"{name} leaves mAP {left[name]:.4f}, pgd-hamming {left['pgd-hamming']:.4f}"
    if rows["dhta"]["t_map"] < rows["p2p"]["t_map"]:
        yield "dhta reaches less than p2p"
    if left["noise"] < left["none"] - QUIET:
        yield f"noise costs too much: mAP {left['noise']:.4f} after {left['none']:.4f}"


def weak_targeted(name: str, line: dict[str, Any], white_box: float) -> Iterator[str]:
    """What is wrong with a targeted attack: it must gain for certain, and without the victim less than DHTA."""
    if line["t_gain_low"] <= 0:
        yield f"{name} may gain nothing: t-MAP {line['t_gain']:+.4f}, 95 % from {line['t_gain_low']:+.4f}"
    if line["access"] != "white" and line["t_map"] > white_box:
        yield f"{name} beats white-box attacks: t-MAP {line['t_map']:.4f}"


if __name__ == "__main__":
    main()
