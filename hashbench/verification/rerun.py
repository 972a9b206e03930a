"""Attacks a few queries of a cell again, on exactly the model that its row names, and compares single APs.

On one machine, a deterministic model reproduces the same APs whatever the batch: in 54 cells of eleven defenses, none
of 30 queries differed, nor did any of 20 in nine cells when all weights were changed by a relative 1e-7.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hashbench.crafting.gallery_ap import exact_precision
from hashbench.errors import BadInput, HashbenchError, InvalidCell
from hashbench.evaluation.judge import Arrays, audited_codes, make_victim
from hashbench.metrics.average_precision import Values
from hashbench.models.codes import batch_size, encode_batch
from hashbench.models.model import HashModel
from hashbench.models.weight_files import tensor_digest
from hashbench.progress import track
from hashbench.readers import weight_files
from hashbench.registry import entries
from hashbench.registry.downloads import no_downloads
from hashbench.registry.spec import Spec
from hashbench.running.cell import ADAPTIVE, Cell, Subject, outdated
from hashbench.running.checkpoints import Checkpoints, model_key
from hashbench.running.request import Load, load_once
from hashbench.running.store import MODELS, WEIGHTS, Result, Store, StoredTensors
from hashbench.running.victims import DefendedModel, Victims, model_digests, new_model
from hashbench.seeds import seeded
from hashbench.threat import Threat
from hashbench.training.undefended import clean_training
from hashbench.types import Images, Index
from hashbench.verification.allowed import MODEST, Allowed, check_allowed
from hashbench.verification.findings import who

SAME = 0.005  # AP; a larger difference counts as a mismatch
ALLOWED = 0.05  # share of queries that may mismatch: another machine's rounding can flip a bit
ELSEWHERE = "use --store to name the store that the row was made with"
NOTHING_FETCHED = "verify fetches nothing that a row names"
SURE = 3.5  # standard errors that the mean may be off if the model draws random numbers: 1 in 2,000


def rerun(
    cells: Sequence[tuple[Result, Arrays]], store: Store, count: int, seed: int, device: torch.device,
    weights: Path | None = None, allowed: Allowed = MODEST,
) -> list[str]:  # fmt: skip
    """Attack random queries of each cell again and return the differences from what is stored, one line each.

    Args:
        cells: cells with their per-query arrays.
        store: holds the models; only attacks' helpers are trained.
        count: queries per cell.
        seed: seed of their draw; whoever submits a row must not know it.
        weights: a safetensors file with the model of all these cells, put into the store first.
        allowed: limits on what rows may ask for.
    """
    victims, load = Victims(Checkpoints(store), device), load_once()
    random = np.random.default_rng(seed)
    problems = []
    by_model = sorted(cells, key=lambda cell: (cell[0].identity["defense"], cell[0].identity["seed"]))
    for result, arrays in track(by_model, "rows"):
        number = len(arrays["average_precision"])
        positions = np.sort(random.choice(number, min(count, number), replace=False))
        try:
            check_allowed(result.identity, allowed)
            with no_downloads(NOTHING_FETCHED):
                problem = _repeat(result, arrays, positions, victims, load, weights)
        except HashbenchError as error:
            problem = f"can't be attacked again: {error}"
        problems += [f"{who(result.identity)}: {problem}"] if problem else []
    return problems


def disagreement(stored: Values, again: Values, *, random: bool) -> str:
    """How stored and recomputed APs [queries] differ; empty if only by rounding or chance.

    Args:
        random: whether the model draws random numbers, so that single queries prove nothing.
    """
    if (np.isnan(stored) != np.isnan(again)).any():
        return "other queries have an AP when it is attacked again"
    off = (stored - again)[~np.isnan(stored)]
    if not off.size:
        return ""
    mean, far = float(off.mean()), int((np.abs(off) > SAME).sum())
    error = float(off.std(ddof=1)) / len(off) ** 0.5 if len(off) > 1 else 0.0
    wrong = abs(mean) > max(SAME, SURE * error) if random else far > ALLOWED * len(off)
    if not wrong:
        return ""
    return (
        f"attacked again, {far} of {len(off)} queries have another AP; the stored ones are {mean:+.4f} off on average"
    )


def cell_of(identity: Mapping[str, Any], load: Load) -> Cell:
    """The cell of a row, from its labels.

    Raises:
        UsageError: its attack, defense, data or another name is not available here.
        BadInput: the row's parameters differ from those of its labels here.
    """
    dataset = entries.datasets.choose(Spec.parse(str(identity["dataset"])))
    backbone = entries.backbones.choose(Spec.parse(str(identity["backbone"])))
    method = entries.methods.choose(Spec.parse(str(identity["method"])))
    training = entries.choose_clean(clean_training, str(identity["training"]).partition(":")[2])
    subject = Subject(dataset, load(dataset), backbone, method, training, int(identity["bits"]))
    defense = entries.defenses.choose(Spec.parse(str(identity["defense"])))
    cell = Cell(
        subject,
        int(identity["seed"]),
        replace(defense, tuned=str(identity.get("tuned", ""))),
        entries.attacks.choose(Spec.parse(str(identity["attack"]))),
        Threat(float(identity["eps"]), identity["norm"]),
        str(identity.get("attacker", ADAPTIVE)),
        made_with=identity.get("versions"),
    )
    if changed := outdated(identity, ("attack",), exact=True):
        raise BadInput(f"{changed[0]}: this release can't attack it again as it was")
    own, given = (json.loads(json.dumps(found)) for found in (cell.identity, {"attacker": ADAPTIVE, **identity}))
    different = sorted(n for n in own.keys() | given.keys() if own.get(n) != given.get(n) and n != "tuned")
    if different:
        name = different[0]
        raise BadInput(
            f"its {name} is {given.get(name)!r}, which is {own.get(name)!r} here; use the data and the version"
        )
    return cell


def load_defended(cell: Cell, numbers: Mapping[str, Any], victims: Victims, otherwise: str) -> DefendedModel:
    """The defended model of a cell, loaded from the store alone, with its digests checked.

    Args:
        otherwise: what the caller offers where the model is not to be had.

    Raises:
        BadInput: the store has no such model, it is damaged, or it is not the one that the row names.
    """
    key, store = model_key(cell), victims.checkpoints.store
    stored = store.model(key)
    if stored is None:
        there = (store.root / MODELS / key / WEIGHTS).exists()
        what = "the checkpoint was changed after it was written" if there else "the store has no model of it"
        raise BadInput(f"{what} ({key}); {otherwise}")
    split = victims.split(cell)
    if key == cell.defended_key:
        model = _filled(new_model(cell.subject).to(victims.device), stored)
        weights = tensor_digest(model.state_dict())
        with seeded(cell.defense_seed):
            victim = make_victim(model, split.train, split.database)
        made: DefendedModel | InvalidCell = DefendedModel(victim, victim, model_digests(weights, victim), "")
    else:
        made = victims.make(cell)
    if isinstance(made, InvalidCell):
        raise made
    for name in ("model_digest", "codes_digest"):
        if (found := made.facts[name]) != numbers.get(name):
            raise BadInput(f"its {name} is {numbers.get(name)}, that of the checkpoint is {found}; it is another model")
    return made


def attack_again(cell: Cell, model: DefendedModel, positions: Index, victims: Victims) -> Values:
    """APs of some queries under the cell's attack, crafted again: [positions].

    Raises:
        InvalidCell: the attack fails or leaves its budget.
    """
    attack, codes = victims.prepare(cell, model), []
    for index in torch.split(positions, batch_size(attack.queries)):
        images, _ = attack.craft(index)
        codes.append(audited_codes(model.victim.model, images, cell.attack_seed, index))
    return exact_precision(model.victim, torch.cat(codes), attack.wanted[positions]).cpu().numpy()


def _repeat(
    result: Result, arrays: Arrays, positions: Any, victims: Victims, load: Load, weights: Path | None
) -> str:  # fmt: skip
    """What is wrong with a cell; empty if nothing is."""
    cell = cell_of(result.identity, load)
    if cell.key != result.key:
        return f"its config_digest is {result.key}, here it is {cell.key}: other data or another version made it"
    key, store = model_key(cell), victims.checkpoints.store
    if weights and store.model(key) is None:
        store.save_model(key, read_weights(weights))
    if cell.defended_key not in victims.last:
        victims.remember(cell, load_defended(cell, result.numbers, victims, ELSEWHERE))
    model = victims.defended(cell)
    if isinstance(model, InvalidCell):
        raise model
    places = torch.from_numpy(positions).to(victims.device)
    name = "target_average_precision" if cell.attack.goal == "targeted" else "average_precision"
    again = attack_again(cell, model, places, victims)
    images = victims.split(cell).queries.images[places]
    return disagreement(arrays[name][positions], again, random=is_random(model.victim.model, images))


def read_weights(path: Path) -> StoredTensors:
    """The tensors of a safetensors file; no other form of weights is ever opened.

    Raises:
        BadInput: it is not one.
    """
    return StoredTensors(weight_files.read_weights(path, inside=path.parent))


def _filled(model: HashModel, weights: StoredTensors) -> HashModel:
    try:
        model.load_state_dict(weights.tensors)
    except RuntimeError:
        raise BadInput("the weights do not fit the row's backbone; send those of the defended model") from None
    return model.eval()


def is_random(model: HashModel, images: Images) -> bool:
    """Whether the model draws random numbers: two passes under different seeds differ."""
    passes = []
    for seed in (0, 1):
        with seeded(seed):
            passes.append(encode_batch(model, images))
    return not torch.equal(*passes)
