#!/usr/bin/env python
"""Choose the members of an attack set by measurement, and write the table of the choice.

Every untargeted attack, some with further parameters, is made on the undefended model, on every defended one that is
a function of the image, and on deliberately broken ones, on validation queries. The worst case of a query is its lowest
average precision. For each number of members the set is printed that brings the worst case nearest to that of all
attacks with their defaults, on the model where it is farthest, until one is within half a point on each. Then follows
`standard-2` with the attacks that docs/protocol.md names beside it. The last rows are the sets as they are, the
newest last; the script fails if that one is more than 0.3 points above on some model.
Passes are those on the undefended model, and their mean over the adversarially trained ones.

Trained models are those of the published leaderboard. The store must be one of its own, since it keeps results on
validation queries under the keys of the leaderboard's cells.

Example: scripts/choose_standard.py --store runs/attack-sets
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import nn
from undefended import validating

from hashbench.models.data import ImageSet, RetrievalSplit
from hashbench.models.model import HashModel
from hashbench.registry import entries
from hashbench.registry.decorators import defense
from hashbench.registry.entries import Choice
from hashbench.registry.protocols import Attack, Dataset, Defense, Method
from hashbench.registry.spec import Spec
from hashbench.registry.tracks import RANKING
from hashbench.running.cell import ADAPTIVE
from hashbench.running.request import Request
from hashbench.running.runner import run
from hashbench.running.store import Store
from hashbench.threat import Threat
from hashbench.verification.zoo import take_models

sys.path.append(str(Path(__file__).resolve().parent.parent / "tests"))
import planted

DATASET, QUERIES, SEED = "digits-collage", 60, 0
BOARD = Path(__file__).resolve().parent.parent / "leaderboards/standard/digits-collage-cnn-csq-32bit-linf-32-255"
UNDEFENDED = "none"
TUNED = {  # the best of four trials for each
    "cgat": "cgat:learning_rate=0.02,weight=3",
    "atrdh": "atrdh:learning_rate=0.02,weight=3",
    "saat": "saat:learning_rate=0.02,weight=3",
    "pgd-training": "pgd-training:learning_rate=0.02,adversarial=1",
    "trades-hamming": "trades-hamming:learning_rate=0.02,weight=2",
    "crdat": "crdat:learning_rate=0.02",
    "s3": "s3:learning_rate=0.02",
    "lap": "lap",
}
AS_WRITTEN = ("lap-2", "cgat:preset=strong", "ibp:epochs=50,learning_rate=0.01,weight=0.1", "mtl-ibp")
TRAINED = (*TUNED, *AS_WRITTEN)
TRANSFORMED = ("jpeg", "bit-depth", "median")
# Not among them: one without gradients at all, which gradient attacks refuse, so that its row is invalid; and those
# whose codes are no function of the image (noise, a norm in train mode), since the lowest of several draws falls with
# each attack, whatever it does. Flags name all three.
BROKEN = {
    "quantised": planted.quantised,
    "steep": planted.steep,
    "reversed": planted.reversed_,
    "right-on-the-grid": planted.right_on_the_grid,
    "right-nearby": planted.right_nearby,
    "few-bits": planted.few_bits,
    "dead": planted.dead,
    "brittle": planted.Brittle,
}
CLEAN, SETS = "none", ("standard", "standard-2", "standard-3")
LEFT_OUT = ("noise", *SETS)
BESIDE = ("standard-2", "soft-ap", "apgd-centers")  # the last two find minima that the first misses
# Candidates beside the defaults: fewer or longer restarts, logits of another size, another attack on a surrogate.
FURTHER = (
    "apgd-hamming:steps=100,restarts=1", "apgd-hamming:restarts=1,logits=unit", "hag:restarts=1",
    "pharos:restarts=1", "sdha:restarts=1", "transfer:attack=soft-ap",
)  # fmt: skip
MOST = 8  # members
WITHIN = 0.005  # mAP that a set of members may leave above the worst case of all attacks
NEWEST_WITHIN = 0.003  # and that the newest set may

Values = NDArray[np.float64]
Found = dict[str, dict[str, Values]]  # APs [queries] by model and attack
Costs = dict[str, float]  # passes a query by attack


def plant(make: Callable[[nn.Module], nn.Module]) -> Defense:
    """A defense that only wraps the undefended network."""

    def broken(model: HashModel, train: ImageSet, method: Method, threat: Threat) -> HashModel:
        """Seem to withstand attacks."""
        return HashModel(make(model.network), model.bits)

    return broken


def main() -> None:
    """Measure, choose, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, default=Path("runs/attack-sets"), help="folder of the study's own")
    parser.add_argument("--out", type=Path, default=Path("leaderboards/attack-set.csv"), help="the table")
    words = parser.parse_args()
    torch.set_num_threads(1)
    for name, make in BROKEN.items():
        defense(f"planted-{name}", trains=False)(plant(make))
    found, costs, trained = measure(Store(words.store))
    rows = choice(found, costs, trained)
    table = pd.DataFrame(rows)
    table.to_csv(words.out, index=False, lineterminator="\n", float_format="%.4f")
    for row in rows:
        sys.stdout.write(f"{row['members']}: {row['passes']:.0f} passes, {100 * row['excess']:+.2f} points\n")
    sys.exit(int(rows[-1]["excess"] > NEWEST_WITHIN))


def measure(store: Store) -> tuple[Found, Costs, Costs]:
    """APs of all attacks on all models, and what an attack costs on the undefended and on trained ones, in passes."""
    untrained = (*TRANSFORMED, *(f"planted-{name}" for name in BROKEN))
    names = [entry.name for entry in entries.attacks if entry.name not in LEFT_OUT]
    attacks = tuple(name for name in (*names, *FURTHER, *SETS) if _competes(entries.attacks.choose(Spec.parse(name))))
    defended = {**TUNED, **{name: name for name in (*AS_WRITTEN, *untrained)}}
    request = Request(
        dataset=DATASET, defenses=tuple(defended.values()), attacks=attacks, seeds=(SEED,)
    ).resolve()  # fmt: skip
    models = dict(zip([choice.label for choice in request.defenses], (UNDEFENDED, *defended), strict=True))
    cells = request.cells(published)
    take_models(BOARD, [key for cell in cells for key in (cell.clean_key, cell.defended_key)], store)
    found: Found = {name: {} for name in models.values()}
    costs: Costs = {}
    trained: Costs = {}
    failed: list[tuple[str, str]] = []
    adaptive = [cell for cell in cells if cell.attacker == ADAPTIVE]
    for result in run(adaptive, store, torch.device("cpu")):
        model, name = models[result.identity["defense"]], result.identity["attack"]
        if result.status != "valid":
            sys.stderr.write(f"{name} fails on {model}, where it leaves the clean queries: {result.reason}\n")
            failed.append((model, name))
            continue
        found[model][name] = store.arrays(result)["average_precision"]
        if len(found[model][name]) != QUERIES:
            sys.exit(f"{store.root} keeps results on other queries; name an empty folder with --store")
        passes = result.numbers["forwards"] + result.numbers["backwards"]
        if model == UNDEFENDED and name != CLEAN:
            costs[name] = passes
        elif model in TRAINED:
            trained[name] = trained.get(name, 0) + passes / len(TRAINED)
    for model, name in failed:
        found[model][name] = found[model][CLEAN]
    return found, costs, trained


def published(data: Choice[Dataset]) -> RetrievalSplit:
    """The data set with validation queries, but with its own digest, by which its published models are found."""
    split: RetrievalSplit = data.call()
    return replace(validating(split, QUERIES), digest=split.digest)


def _competes(attack: Choice[Attack]) -> bool:
    """Whether an attack means to lower AP under the threat of the study, and sees more of the victim than ids."""
    return attack.goal == "untargeted" and "linf" in attack.entry.threats and attack.entry.access != RANKING


def choice(found: Found, costs: Costs, trained: Costs) -> list[dict[str, Any]]:
    """A row for all attacks, one for the best set of each size, and those of versioned sets and what goes with them."""
    everything = [name for name in costs if name not in (*SETS, *FURTHER)]
    candidates = [*everything, *FURTHER]
    values = np.stack([[of[name] for name in candidates] for of in found.values()])
    floor = values[:, : len(everything)].min(axis=1)

    def row(label: str, members: Sequence[str], worst: Values) -> dict[str, Any]:
        means = dict(zip(found, worst.mean(axis=1), strict=True))
        spent = {"passes": sum(costs[m] for m in members), "passes_trained": sum(trained[m] for m in members)}
        return {"members": label, **spent, **means, "excess": _excess(worst, floor)}

    rows = [row("all attacks", everything, floor)]
    for size in range(1, MOST + 1):
        best = best_set(values, floor, [costs[name] for name in candidates], size)
        names = [candidates[i] for i in best]
        rows.append(row(" ".join(names), names, values[:, best].min(axis=1)))
        if rows[-1]["excess"] <= WITHIN:
            break
    for members in (BESIDE, *((name,) for name in SETS)):
        worst = np.stack([[of[name] for name in members] for of in found.values()]).min(axis=1)
        rows.append(row(" ".join(members), members, worst))
    return rows


def best_set(values: Values, floor: Values, costs: Sequence[float], size: int) -> tuple[int, ...]:
    """The positions of the attacks whose worst case is nearest to a floor, to 0.0001; of several sets the cheapest.

    Args:
        values: APs [models, attacks, queries].
        floor: [models, queries].
        costs: of each attack.
        size: how many attacks.
    """
    least, found = (np.inf, np.inf), tuple[int, ...]()

    def extend(chosen: tuple[int, ...], low: Values) -> None:
        nonlocal least, found
        first = chosen[-1] + 1 if chosen else 0
        if len(chosen) < size - 1:
            for i in range(first, len(costs)):
                extend((*chosen, i), np.minimum(low, values[:, i]))
            return
        lowest = np.minimum(low[:, None], values[:, first:])
        for i, excess in enumerate((lowest - floor[:, None]).mean(axis=2).max(axis=0).round(4), first):
            rank = (float(excess), sum(costs[j] for j in (*chosen, i)))
            if rank < least:
                least, found = rank, (*chosen, i)

    extend((), np.full_like(floor, np.inf))
    return found


def _excess(worst: Values, floor: Values) -> float:
    """How far worst cases [models, queries] stay above a floor, on the model where they do most."""
    return float((worst - floor).mean(axis=1).max())


if __name__ == "__main__":
    main()
