"""Certificates of defended models: lower bounds on AP under a threat, and whether measured cells respect them."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import torch

from hashbench.certification.certify import Certificate, certify
from hashbench.digests import digest
from hashbench.errors import InvalidCell
from hashbench.evaluation.judge import Arrays
from hashbench.metrics.average_precision import Values
from hashbench.running.cell import ADAPTIVE, Cell
from hashbench.running.probes import model_identity
from hashbench.running.store import Store
from hashbench.running.victims import Victims

ROUNDED = 1e-9  # how much two sums of the same precisions may differ


@dataclass(frozen=True)
class CertifiedModel:
    """A defended model's certificate over all queries.

    Attributes:
        clean: AP of the clean queries in the worst order of ties [queries].
        seconds: how long the certificate took.
    """

    cell: Cell
    certificate: Certificate
    clean: Values
    seconds: float


def certify_cell(cell: Cell, victims: Victims) -> CertifiedModel:
    """The certificate of a cell's defended model under its threat; a model that is not in the store is trained first.

    Args:
        cell: one without an attack; it need not have been measured.

    Raises:
        InvalidCell: the model can't be trained.
        NoCertificate: its network has a layer without a bound, or draws random numbers.
    """
    model = victims.defended(cell)
    if isinstance(model, InvalidCell):
        raise model
    queries, gallery = victims.split(cell).queries, model.victim.gallery
    images = queries.images[torch.arange(len(queries))].to(gallery.codes.device)
    began = time.perf_counter()
    found = certify(model.victim.model, images, queries.labels, gallery.codes, gallery.labels, cell.threat.eps)
    seconds = time.perf_counter() - began
    still = certify(model.victim.model, images, queries.labels, gallery.codes, gallery.labels, 0.0, rule="intervals")
    return CertifiedModel(cell, found, still.precision, seconds)


def contradictions(found: CertifiedModel, store: Store) -> list[str]:
    """The stored cells with an AP below their model's certificate; one line each, naming the query.

    There should be none: an AP below a certificate reveals an error in the attack, its audit or the bound.
    """
    own = digest(model_identity(found.cell.identity))
    lines = []
    for result in store.cells():
        identity = result.identity
        measured = identity["goal"] == "untargeted" and identity["attacker"] == ADAPTIVE and result.status == "valid"
        if measured and digest(model_identity(identity)) == own:
            query = first_below(store.arrays(result), found.certificate)
            if query is not None:
                lines.append(
                    f"{identity['defense']} under {identity['attack']}, seed {identity['seed']}: query {query}"
                )
    return lines


def first_below(arrays: Arrays, found: Certificate) -> int | None:
    """The first query whose AP in the worst order of ties is below its certificate, or None."""
    off = arrays["low"] < found.precision - ROUNDED
    return int(np.flatnonzero(off)[0]) if off.any() else None
