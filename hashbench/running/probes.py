"""Which defended models are probed, and how their probes are stored."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterable, Mapping
from typing import Any

from hashbench.digests import digest
from hashbench.errors import CodeRaised, InvalidCell
from hashbench.evaluation.judge import Arrays
from hashbench.evaluation.probe import PROBE_VERSION, probe, sample, sampled_rows
from hashbench.models.data import ImageSet, RetrievalSplit, Victim
from hashbench.registry import entries
from hashbench.registry.entries import Choice
from hashbench.registry.protocols import Attack
from hashbench.registry.spec import Spec
from hashbench.running.cell import DEFENDED_ROLES, PROBE_EPS, Cell, of_roles
from hashbench.running.store import Result, Store
from hashbench.seeds import derive_seed

RAISED = "raised"  # in the host facts of a probe or a certificate that failed as code does that may not fail again
BLACK_BOX = "square-hamming:steps=100"  # a probe's attack that sees codes only
_OF_AN_ATTACK = {"attack", "attack_params", "goal", "access", "attacker", "index"}


def one_a_model(cells: Iterable[Cell]) -> list[Cell]:
    """One cell for each defended model and threat, in the given order."""
    return list({probe_key(cell): cell for cell in cells}.values())


def probe_key(cell: Cell) -> str:
    """The key of the probe of a cell's model: a digest of the model, the threat and the probe itself."""
    return key_of_probe(probed_identity(cell.identity))


def key_of_probe(identity: Mapping[str, Any], version: int | None = None) -> str:
    """The key of the probe with an identity from `probed_identity`, for a version of the probe (default: current)."""
    version = PROBE_VERSION if version is None else version
    return digest(["probe", _untuned(identity), version, BLACK_BOX, black_box().versions("attack")])


def model_identity(identity: Mapping[str, Any]) -> dict[str, Any]:
    """A cell's identity without the attack: the model and the threat."""
    named = {name: value for name, value in identity.items() if name not in _OF_AN_ATTACK}
    return {**named, "versions": of_roles(identity["versions"], DEFENDED_ROLES)}


def probed_identity(identity: Mapping[str, Any]) -> dict[str, Any]:
    """What a cell's model is probed as: itself under its own threat, or for a patch under the data set's l-inf threat.

    So a model has one probe for its patch boards and its l-inf board: what hinders gradients is a fact of the model.
    """
    named = model_identity(identity)
    eps = named.pop(PROBE_EPS, None)
    return named if eps is None else {**named, "norm": "linf", "eps": eps}


def probed_as(identity: Mapping[str, Any]) -> str:
    """The model of a probe, or of `probed_identity`, as text: the trials that chose its values make it no other one."""
    return json.dumps(_untuned(identity), sort_keys=True)


def black_box() -> Choice[Attack]:
    """A probe's attack that sees codes only."""
    return entries.attacks.choose(Spec.parse(BLACK_BOX))


def probed_queries(split: RetrievalSplit, seed: int) -> tuple[ImageSet, int]:
    """A probe's queries, the same for all models of a data set and seed, and the seed of the probe."""
    own = seed_of_probe(split.digest, seed)
    return sample(split.queries, own), own


def seed_of_probe(split_digest: str, seed: int) -> int:
    """The seed of a probe's own random numbers, the draw of its queries among them."""
    return derive_seed("sanity", split_digest, seed)


def measure(
    cell: Cell,
    split: RetrievalSplit,
    victim: Victim,
    undefended: Victim | None,
    facts: dict[str, Any],
    host: dict[str, Any],
) -> tuple[Result, Arrays]:
    """Probe a cell's defended model; returns the result and its per-query arrays, for the store.

    Args:
        undefended: the victim without its defense; None if it has none.
        facts: what is known of the model; `model_digest` ties the probe to its weights.
        host: times, costs and the machine.

    Returns:
        The probe, and its per-query arrays; `rows` are the queries' places in their set. The seed of images that
        are in no file is drawn anew each time, and kept.
    """
    queries, seed = probed_queries(split, cell.seed)
    identity, began, draw = probed_identity(cell.identity), time.perf_counter(), secrets.randbits(32)
    try:
        found = probe(
            victim, queries, cell.training_threat, seed, black_box=black_box(), undefended=undefended, draw=draw,
            declared=cell.defense.entry.transforms,
        )  # fmt: skip
    except InvalidCell as failure:
        return Result(probe_key(cell), identity, facts, {**host, **raised(failure)}, "invalid", str(failure)), {}
    host = {"probe_seconds": time.perf_counter() - began, **host}
    places = sampled_rows(split.queries, seed).numpy()
    arrays = {**found.arrays, "rows": places[found.arrays["rows"]]}
    return Result(probe_key(cell), identity, {**found.numbers, "new_images_seed": draw, **facts}, host), arrays


def raised(failure: InvalidCell) -> dict[str, bool]:
    """What a probe or a certificate says of a failure that may pass, so that the next run tries again."""
    return {RAISED: True} if isinstance(failure, CodeRaised) else {}


def kept_probe(cell: Cell, store: Store, since: float | None = None) -> Result | None:
    """A model's probe from the store; None if there is none, or its code raised something that may pass."""
    stored = store.probe(probe_key(cell), since)
    return None if stored and stored.host.get(RAISED) else stored


def _untuned(identity: Mapping[str, Any]) -> dict[str, Any]:
    """An identity without the trials that chose the defense's values."""
    return {name: value for name, value in identity.items() if name != "tuned"}
