"""Certificates of defended models: made once, kept in the store, and held against the cells that were measured."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from hashbench.certification.bounds import Rule, logit_bounds
from hashbench.certification.certify import CERTIFICATE_VERSION, Certificate, certificate, clean_precision, items_of
from hashbench.certification.precision_bounds import NODES
from hashbench.certification.refusal import NoCertificate, no_certificate
from hashbench.crafting.targets import draw_targets
from hashbench.digests import digest
from hashbench.errors import InvalidCell
from hashbench.evaluation.foreign_code import explain
from hashbench.evaluation.judge import Arrays
from hashbench.metrics.average_precision import Values
from hashbench.models.data import Gallery, RetrievalSplit
from hashbench.models.model import HashModel
from hashbench.progress import track
from hashbench.registry.short_labels import defense_name
from hashbench.running.cell import ADAPTIVE, Cell
from hashbench.running.probes import RAISED, model_identity, raised
from hashbench.running.store import Result, Store
from hashbench.running.victims import DefendedModel
from hashbench.types import Labels

ROUNDED = 1e-9  # how much two sums of the same precisions may differ
RULE: Rule = "crown"
BRANCHES = NODES  # that may be looked at for one query
PARTS = (2, 8, 32)  # queries that are certified together; the last number is that of all further parts
LEAST = 60.0  # seconds that a certificate may take however short the attacks are
WARM = 10.0  # seconds after which the pace of the first queries counts; compiling takes some of them
LIMIT = "limit_seconds"  # of the host: what a certificate was left out for
TOO_LONG = "it would take longer than the attacks did; make it with 'hashbench certify'"
UNTARGETED, TARGETED = "untargeted", "targeted"


@dataclass(frozen=True)
class WantedCertificate:
    """A certificate that a run makes where the store lacks it.

    Attributes:
        goal: untargeted, a lower bound of AP; or targeted, an upper bound of AP with respect to the targets.
        model_digest: of the weights that were attacked.
        seconds: the most that it may take.
    """

    cell: Cell
    goal: str
    model_digest: str
    seconds: float = float("inf")

    @property
    def key(self) -> str:
        """The certificate's key."""
        return certificate_key(self.cell.identity, self.goal)


def certificate_key(identity: Mapping[str, Any], goal: str) -> str:
    """The key of a certificate: a digest of the model, the threat, the goal and the version of certificates.

    Args:
        identity: of a cell of the model, or what `model_identity` makes of it.
    """
    named = {name: value for name, value in model_identity(identity).items() if name not in ("tuned", "goal")}
    return digest(["certificate", named, goal, CERTIFICATE_VERSION])


def wanted_certificates(cells: Iterable[Cell], results: Iterable[Result]) -> list[WantedCertificate]:
    """The certificates of the models of valid cells: one for each goal of their attacks, in the order of the cells.

    Each may take as long as all attacks on its model together took, and at least a minute.
    """
    valid = {result.key: result for result in results if result.status == "valid"}
    seconds: dict[str, float] = {}
    wanted: dict[str, WantedCertificate] = {}
    for cell in cells:
        if cell.key in valid and cell.attacker == ADAPTIVE:
            result, own = valid[cell.key], certificate_key(cell.identity, UNTARGETED)
            seconds[own] = seconds.get(own, 0.0) + float(result.host.get("attack_seconds") or 0.0)
            one = WantedCertificate(cell, cell.attack.goal, str(result.numbers["model_digest"]))
            wanted.setdefault(one.key, one)
    return [
        WantedCertificate(
            one.cell, one.goal, one.model_digest, max(LEAST, seconds[certificate_key(one.cell.identity, UNTARGETED)])
        )
        for one in wanted.values()
    ]


def is_made(stored: Result | None, wanted: WantedCertificate) -> bool:
    """Whether a stored certificate is the wanted one: of the same weights, and no failure that may pass."""
    if stored is None or stored.host.get(RAISED) or stored.numbers.get("model_digest") != wanted.model_digest:
        return False
    return LIMIT not in stored.host or wanted.seconds < 2 * float(stored.host[LIMIT])


def certify_model(
    wanted: WantedCertificate, split: RetrievalSplit, model: DefendedModel, host: dict[str, Any]
) -> tuple[Result, Arrays]:
    """A model's certificate and its per-query arrays, for the store; one that there can't be has its reason.

    The arrays are `certified`, the bound of AP, NaN without a relevant item; `free_bits`, the bits that may change;
    `exact`, whether some setting of these bits attains the bound; and `clean`, the AP of the clean queries, in the
    worst order of ties [queries].
    """
    cell, began = wanted.cell, time.perf_counter()
    identity = {**model_identity(cell.identity), "goal": wanted.goal}
    facts = {name: model.facts[name] for name in ("model_digest", "codes_digest")}

    def refused(reason: str, **more: Any) -> tuple[Result, Arrays]:
        return Result(wanted.key, identity, facts, {**host, **more}, "invalid", " ".join(reason.split())), {}

    if reason := no_certificate(cell.threat):
        return refused(reason)
    try:
        labels = split.queries.labels
        if wanted.goal == TARGETED:
            labels = draw_targets(labels, split.database.labels, cell.target_seed)
        found = explain(
            f"the certificate of {defense_name(cell.defense.label)}", _certified, model.victim.model,
            split.queries.images, labels, model.victim.gallery, wanted,
        )  # fmt: skip
    except InvalidCell as failure:
        return refused(str(failure), **raised(failure))
    if isinstance(found, NoCertificate):
        return refused(str(found))
    if found is None:
        return refused(TOO_LONG, **{LIMIT: wanted.seconds})
    whole, clean = found
    host = {**host, "certificate_seconds": time.perf_counter() - began}
    arrays: Arrays = {
        "certified": whole.precision, "free_bits": whole.free, "exact": whole.way == "exact", "clean": clean,
    }  # fmt: skip
    numbers = {**facts, "certified": whole.map, "n_queries": len(clean)}
    return Result(wanted.key, identity, numbers, host), arrays


def _certified(*args: Any) -> tuple[Certificate, Values] | NoCertificate | None:
    """As `_in_parts`; a refusal is returned, since `explain` would take it for an error."""
    try:
        return _in_parts(*args)
    except NoCertificate as refusal:
        return refusal


def _in_parts(
    model: HashModel, images: Any, labels: Labels, gallery: Gallery, wanted: WantedCertificate
) -> tuple[Certificate, Values] | None:
    """The certificate and the clean precisions; None where it would take too long."""
    items = items_of(gallery.codes, gallery.labels)
    parts: list[Certificate] = []
    began, done = time.perf_counter(), 0
    for rows in track(list(_parts(len(labels))), "queries"):
        started = time.perf_counter()
        bounds = logit_bounds(model, images[rows].to(gallery.codes.device), wanted.cell.threat.eps, rule=RULE)
        parts.append(certificate(bounds, labels[rows], items, highest=wanted.goal == TARGETED, nodes=BRANCHES))
        done += len(rows)
        ended = time.perf_counter()
        ahead = (ended - started) / len(rows) * (len(labels) - done)
        if (len(parts) > 1 or ended - began > WARM) and ended - began + ahead > wanted.seconds:
            return None
    names = ("precision", "free", "untouched", "way", "fixed", "codes")
    whole = Certificate(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))
    return whole, clean_precision(whole.codes, labels, items)


def _parts(queries: int) -> Iterator[torch.Tensor]:
    """The positions of queries in parts, the first ones small."""
    places, sizes = torch.arange(queries), list(PARTS)
    while len(places):
        size = sizes.pop(0) if len(sizes) > 1 else sizes[0]
        yield places[:size]
        places = places[size:]


def contradiction(arrays: Arrays, bits: int, found: Arrays, goal: str) -> str:
    """The first query that a cell's attack took beyond its model's certificate, in words; empty if there is none.

    There should be none: it reveals an error in the attack, its audit or the bound.

    Args:
        arrays: of a cell, with `low`, the APs in the worst order of ties.
        found: the certificate's.
    """
    moved = np.rint(arrays["bits_moved"] * bits)
    if goal == TARGETED:
        values, told = arrays["target_average_precision"], "is above what its certificate allows"
        beyond = values > found["certified"] + ROUNDED
    else:
        values, told = arrays["low"], "is below its certificate"
        beyond = values < found["certified"] - ROUNDED
    for query in np.flatnonzero(beyond | (moved > found["free_bits"])):
        if beyond[query]:
            return f"query {query}: an AP of {values[query]:.6f} {told}, {found['certified'][query]:.6f}"
        return f"query {query}: {moved[query]:.0f} bits changed, its certificate allows {found['free_bits'][query]}"
    return ""


def held_against(results: Iterable[Result], store: Store) -> list[Result]:
    """The same cells, those invalid of which a query lies beyond the certificate of its model, with the query named.

    Args:
        store: with the cells' arrays and the certificates.
    """
    known: dict[str, tuple[Result, Arrays] | None] = {}
    held = []
    for result in results:
        own = certificate_of(result, store, known)
        if own:
            told = contradiction(store.arrays(result), result.identity["bits"], own[1], result.identity["goal"])
            if told:
                reason = f"{told}; the attack, its audit or the bound has an error, which is worth a report"
                result = Result(result.key, result.identity, {}, result.host, "invalid", reason)
        held.append(result)
    return held


def certificate_of(
    result: Result, store: Store, known: dict[str, tuple[Result, Arrays] | None] | None = None
) -> tuple[Result, Arrays] | None:
    """The valid certificate by which a cell can be judged, with its arrays; None if there is none.

    Args:
        known: certificates that were read before, by key; new ones are added.
    """
    known = {} if known is None else known
    if result.status != "valid" or result.identity["attacker"] != ADAPTIVE:
        return None
    key = certificate_key(result.identity, result.identity["goal"])
    if key not in known:
        stored = store.certificate(key)
        known[key] = (stored, store.certificate_arrays(stored)) if stored and stored.status == "valid" else None
    own = known[key]
    return own if own and own[0].numbers["model_digest"] == result.numbers["model_digest"] else None
