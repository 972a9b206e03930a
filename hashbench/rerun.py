"""Attacks a few queries of a row again, on the very model that the row names, and compares."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from hashbench import registry
from hashbench.cell import ADAPTIVE, Cell, Subject
from hashbench.checkpoints import Helpers
from hashbench.clean import clean_training
from hashbench.codes import batch_size, encode_batch
from hashbench.data import Queries
from hashbench.errors import BadInput
from hashbench.evaluation import explain
from hashbench.hamming_tensors import count_tensors
from hashbench.metrics import Values, average_precision
from hashbench.model import binarize
from hashbench.request import Load
from hashbench.runner import Bench, Row
from hashbench.seeds import derive_seed, seeded
from hashbench.spec import Spec
from hashbench.targets import draw_targets
from hashbench.threat import Threat
from hashbench.types import Index


def cell_of(identity: Mapping[str, Any], load: Load) -> Cell:
    """The cell of a row, from its labels.

    Raises:
        UsageError: its attack, defense, data or another name is not to be had here.
        BadInput: the row's parameters are not those that its labels stand for here.
    """
    dataset, backbone, method = (
        group.choose(Spec.parse(str(identity[name])))
        for name, group in (
            ("dataset", registry.datasets), ("backbone", registry.backbones), ("method", registry.methods),
        )
    )  # fmt: skip
    training = registry.choose_clean(clean_training, str(identity["training"]).partition(":")[2])
    subject = Subject(dataset, load(dataset), backbone, method, training, int(identity["bits"]))
    defense = registry.defenses.choose(Spec.parse(str(identity["defense"])))
    cell = Cell(
        subject,
        int(identity["seed"]),
        replace(defense, tuned=str(identity.get("tuned", ""))),
        registry.attacks.choose(Spec.parse(str(identity["attack"]))),
        Threat(float(identity["eps"])),
        str(identity.get("attacker", ADAPTIVE)),
    )
    own, given = (json.loads(json.dumps(found)) for found in (cell.identity, {"attacker": ADAPTIVE, **identity}))
    different = sorted(name for name in own.keys() | given.keys() if own.get(name) != given.get(name))
    if different:
        name = different[0]
        raise BadInput(
            f"its {name} is {given.get(name)!r}, which is {own.get(name)!r} here; use the data and the version"
        )
    return cell


def attack_again(cell: Cell, row: Row, positions: Index, bench: Bench) -> Values:
    """APs of some queries under the cell's attack, made anew: [positions].

    Raises:
        InvalidCell: the attack fails or leaves its budget.
    """
    split, seed = bench.splits[cell.subject.split.digest], cell.attack_seed
    queries, victim = split.queries, row.victim
    helpers = Helpers(bench.checkpoints, cell, victim.model)
    seen = replace(victim if cell.attacker == ADAPTIVE else row.bare, keep=helpers)
    targeted = cell.attack.goal == "targeted"
    targets = draw_targets(queries.labels, split.database.labels, cell.target_seed) if targeted else None
    torch.manual_seed(seed)
    craft = explain(f"attack {cell.attack.label}", cell.attack.call, seen, cell.threat)
    codes = []
    for index in torch.split(positions, batch_size(queries)):
        clean, labels = queries.images[index], queries.labels[index]
        batch = Queries(clean.clone(), labels.clone(), index, seed, None if targets is None else targets[index])
        torch.manual_seed(seed + int(index[0]))
        images = explain(f"attack {cell.attack.label}", craft, batch).detach()
        cell.threat.check(images, clean)
        with seeded(derive_seed("audit", seed, int(index[0]))):
            codes.append(binarize(encode_batch(victim.model, images)))
    wanted = queries.labels if targets is None else targets
    gallery = victim.gallery
    return average_precision(count_tensors(torch.cat(codes), wanted[positions], gallery.codes, gallery.labels)).expected
